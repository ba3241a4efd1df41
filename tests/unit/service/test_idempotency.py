"""One effect per key: shared flights, replays, and callers that leave."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from shop_order.domain.errors import InvalidArgument, KeyReused, OutOfStock
from shop_order.domain.ports import Key, KeyRecord, Orders
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.service.idempotency import Idempotency, Outcome, checked_key, command_hash
from shop_order.service.place import PlaceOrder

COMMAND = ["place", 1]


class Keys:
    """The part of the store that keys need."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], KeyRecord] = {}

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        return self.kept.get((scope, key))


class Work:
    """A use case that stores its key like the real ones, when the test opens the gate."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.runs = 0
        self.gate = asyncio.Event()
        self.fail: Exception | None = None

    async def run(self, key: Key | None) -> str:
        self.runs += 1
        mine = f"order {self.runs}"
        await self.gate.wait()
        if self.fail:
            raise self.fail
        if key:
            self.keys.kept[key.scope, key.key] = KeyRecord(key.command_hash, mine, "")
        return mine

    async def replay(self, record: KeyRecord) -> str:
        return record.order_sn


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def work(keys: Keys) -> Work:
    return Work(keys)


@pytest.fixture
def once(keys: Keys) -> Idempotency:
    return Idempotency(cast(Orders, keys), lambda: 5)


async def call(
    once: Idempotency,
    work: Work,
    key: str = "k",
    *,
    scope: str = "7:place",
    command: list[object] | None = None,
) -> Outcome[str]:
    return await once.once(scope, key, command or COMMAND, work.run, work.replay)


def test_pages_that_are_not_named_leave_a_command_as_it_was_before_there_were_any() -> None:
    command = PlaceOrder(PostalAddress("王小明", "13800138000", "人民路 1 号"), (Line(1, 2),), "n", key="k")
    digest = "1a69ce94be7bf65c8fec7c3930bd1b0e888bbae2265c79535408c43c2fad3103"
    assert command_hash(command.normalized()).hex() == digest
    assert command_hash(replace(command, return_url="https://a").normalized()).hex() != digest
    pages = [replace(command, return_url="https://a"), replace(command, cancel_url="https://a")]
    assert len({command_hash(one.normalized()) for one in pages}) == 2


async def test_without_a_key_every_call_runs(once: Idempotency, work: Work) -> None:
    work.gate.set()
    assert [await call(once, work, ""), await call(once, work, "")] == [
        Outcome("order 1"),
        Outcome("order 2"),
    ]


async def test_the_same_key_is_answered_with_the_first_effect(once: Idempotency, work: Work) -> None:
    work.gate.set()
    assert await call(once, work) == Outcome("order 1")
    assert await call(once, work) == Outcome("order 1", replayed=True)
    assert work.runs == 1


async def test_keys_are_told_apart_by_user_and_use_case(once: Idempotency, work: Work) -> None:
    work.gate.set()
    for scope in ("7:place", "8:place", "7:pay"):
        assert not (await call(once, work, scope=scope)).replayed
    assert work.runs == 3


async def test_equal_keys_at_once_share_one_flight(once: Idempotency, work: Work) -> None:
    calls = [asyncio.create_task(call(once, work)) for _ in range(5)]
    await asyncio.sleep(0.01)
    work.gate.set()
    got = await asyncio.gather(*calls)
    assert {outcome.result for outcome in got} == {"order 1"}
    assert sorted(outcome.replayed for outcome in got) == [False, True, True, True, True]
    assert work.runs == 1


async def test_another_command_under_the_key_is_refused_in_flight_and_later(
    once: Idempotency, work: Work
) -> None:
    first = asyncio.create_task(call(once, work))
    await asyncio.sleep(0.01)
    with pytest.raises(KeyReused):
        await call(once, work, command=["place", 2])
    work.gate.set()
    await first
    with pytest.raises(KeyReused):
        await call(once, work, command=["place", 2])
    assert work.runs == 1


async def test_a_first_caller_that_leaves_does_not_end_the_flight(once: Idempotency, work: Work) -> None:
    first = asyncio.create_task(call(once, work))
    second = asyncio.create_task(call(once, work))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    work.gate.set()
    assert (await second).result == "order 1"
    assert first.cancelled()
    assert (await call(once, work)) == Outcome("order 1", replayed=True)


async def test_a_flight_nobody_waits_for_still_lands(once: Idempotency, work: Work) -> None:
    alone = asyncio.create_task(call(once, work))
    await asyncio.sleep(0.01)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    draining = asyncio.create_task(once.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    work.gate.set()
    await draining
    assert work.keys.kept["7:place", "k"].order_sn == "order 1"


async def test_a_refusal_is_not_kept(once: Idempotency, work: Work) -> None:
    work.gate.set()
    work.fail = OutOfStock([1])
    with pytest.raises(OutOfStock):
        await call(once, work)
    work.fail = None
    assert await call(once, work) == Outcome("order 2")


async def test_a_refusal_of_a_shared_flight_is_everybodys(once: Idempotency, work: Work) -> None:
    work.fail = OutOfStock([1])
    calls = [asyncio.create_task(call(once, work)) for _ in range(2)]
    await asyncio.sleep(0.01)
    work.gate.set()
    assert [type(e) for e in await asyncio.gather(*calls, return_exceptions=True)] == [OutOfStock] * 2
    assert work.runs == 1


@pytest.mark.parametrize("key", ["x" * 256, " k", "k ", "a\0b", "\ud800"])
async def test_a_key_that_can_not_be_kept_is_refused(once: Idempotency, work: Work, key: str) -> None:
    with pytest.raises(InvalidArgument):
        await call(once, work, key)
    assert work.runs == 0


def test_a_key_has_255_characters_not_bytes() -> None:
    assert checked_key("鱼" * 255)


def test_equal_commands_have_equal_hashes_and_others_do_not() -> None:
    assert command_hash(["place", [[1, 2]], "鱼"]) == command_hash(["place", [[1, 2]], "鱼"])
    different: list[list[object]] = [
        ["place", [[1, 2]]],
        ["place", [[12]]],
        ["place", [["1", 2]]],
        ["pay", [[1, 2]]],
        ["place", None],
    ]
    assert len({command_hash(command) for command in different}) == len(different)
