"""What rests on a cache besides values: keys in flight, submit tokens, revoked tokens."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest

from shop_order.domain.errors import KeyReused, Unauthenticated
from shop_order.domain.ports import Key, KeyRecord, Orders
from shop_order.domain.valueobject.parties import Role
from shop_order.repository.cache import Cache, CacheDown, revocations
from shop_order.repository.cache.flights import KeyFlights, Turns
from shop_order.repository.cache.revocations import Revocations
from shop_order.service.idempotency import Idempotency
from shop_order.web.auth.keys import DevKey
from shop_order.web.auth.tokens import Authenticator, TokenRules, mint_token
from tests.contract.cache_engine import instance
from tests.plugins.engines import available

SECRET = "s" * 64


@pytest.fixture(params=available("memory", "redis"))
async def caches(request: pytest.FixtureRequest) -> AsyncIterator[list[Cache]]:
    """The caches of two instances; with memory:// it is one."""
    async with AsyncExitStack() as stack:
        first = (await stack.enter_async_context(instance(request.param))).cache
        if request.param.startswith("memory"):
            yield [first, first]
        else:
            yield [first, (await stack.enter_async_context(instance(request.param))).cache]


@pytest.fixture
def key() -> str:
    """A key nobody used before."""
    return secrets.token_hex(8)


# ---- keys in flight ----


class Store:
    """The part of the order database that keys need; `runs` counts the effects."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], KeyRecord] = {}
        self.runs = 0

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        await asyncio.sleep(0)
        return self.kept.get((scope, key))

    async def run(self, key: Key | None) -> str:
        assert key
        self.runs += 1
        order_sn = f"order {self.runs}"
        await asyncio.sleep(0.1)
        self.kept[key.scope, key.key] = KeyRecord(key.command_hash, order_sn, "")
        return order_sn


async def replay(record: KeyRecord) -> str:
    return record.order_sn


def idempotency(store: Store, cache: Cache) -> Idempotency:
    """The idempotency of another process."""
    flights = KeyFlights(cache, new_ticket=lambda: secrets.token_hex(4), lease=True)
    return Idempotency(cast(Orders, store), lambda: 1, flights)


async def test_equal_keys_in_several_processes_work_once_and_get_the_winners_result(
    caches: list[Cache], key: str
) -> None:
    store = Store()
    outcomes = await asyncio.gather(
        *(idempotency(store, cache).once("7:place", key, ["c"], store.run, replay) for cache in caches * 3)
    )
    assert store.runs == 1
    assert {o.result for o in outcomes} == {"order 1"}
    assert sorted(o.replayed for o in outcomes) == [False, True, True, True, True, True]


async def test_a_refusal_lets_the_next_process_try(caches: list[Cache], key: str) -> None:
    store = Store()

    async def refuse(_: Key | None) -> str:
        raise KeyError("out of stock")

    with pytest.raises(KeyError):
        await idempotency(store, caches[0]).once("7:place", key, ["c"], refuse, replay)
    async with asyncio.timeout(1):
        done = await idempotency(store, caches[1]).once("7:place", key, ["c"], store.run, replay)
    assert (done.result, done.replayed) == ("order 1", False)


async def test_who_waits_for_a_dead_process_goes_on_after_a_while(
    caches: list[Cache], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shop_order.service.idempotency.WAITS_S", (0.01, 0.02))
    store = Store()
    dead = KeyFlights(caches[0], new_ticket=lambda: "dead", lease=True)
    assert await dead.enter("7:place", key) == "dead"
    done = await idempotency(store, caches[1]).once("7:place", key, ["c"], store.run, replay)
    assert done.result == "order 1"


async def test_users_do_not_share_keys(caches: list[Cache], key: str) -> None:
    flights = KeyFlights(caches[0], new_ticket=lambda: secrets.token_hex(4), lease=True)
    assert await flights.enter("7:place", key) is not None
    assert await flights.enter("8:place", key) is not None
    assert await flights.enter("7:place", key) is None


async def test_a_submit_token_is_for_one_use_case(caches: list[Cache], key: str) -> None:
    here, there = (KeyFlights(cache, new_ticket=lambda: "t", lease=False) for cache in caches)
    assert await here.enter("7:place", f"st_{key}") == ""
    with pytest.raises(KeyReused):
        await there.enter("7:pay", f"st_{key}")
    assert await there.enter("7:place", f"st_{key}") == "", "the same form, sent again, finds its order"
    assert await there.enter("7:pay", key) == "", "a key that is no token may be used for each"


# ---- revoked tokens ----


@pytest.fixture(autouse=True)
def own_list(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(revocations, "LIST", f"revoked-{key}")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Instance:
    """Who believes tokens in one instance."""

    def __init__(self, cache: Cache) -> None:
        self.revocations = Revocations(cache, now_ms)
        self.authenticator = Authenticator(DevKey(SECRET), TokenRules(), revoked=self.revocations)

    def believes(self, token: str) -> bool:
        """Whether a request with this token would be let in."""
        try:
            self.authenticator.actor(f"Bearer {token}")
        except Unauthenticated:
            return False
        return True


def token_of(user: int, *, issued_s: float | None = None) -> str:
    return mint_token(SECRET, subject=str(user), role=Role.USER, now_s=issued_s)


async def test_a_revoked_token_is_refused_here_at_once_and_elsewhere_after_a_look(
    caches: list[Cache],
) -> None:
    here, there = map(Instance, caches)
    mine, other = token_of(7), token_of(8)
    assert here.believes(mine) and there.believes(mine)
    await here.revocations.revoke_token(mine, now_ms() + 60_000)
    assert not here.believes(mine)
    await there.revocations.refresh()
    assert not there.believes(mine)
    assert here.believes(other) and there.believes(other)


async def test_all_that_a_subject_was_given_up_to_then_is_refused(caches: list[Cache]) -> None:
    here, there = map(Instance, caches)
    at_s = int(time.time())
    old, new = token_of(7, issued_s=at_s - 100), token_of(7, issued_s=at_s + 1)
    await here.revocations.revoke_subject("7", at_s, now_ms() + 60_000)
    await there.revocations.refresh()
    for one in (here, there):
        assert not one.believes(old)
        assert one.believes(new)
        assert one.believes(token_of(77, issued_s=at_s - 100))


async def test_a_revocation_ends_when_the_token_would_have(caches: list[Cache]) -> None:
    here, there = map(Instance, caches)
    mine = token_of(7)
    await here.revocations.revoke_token(mine, now_ms() + 100)
    await asyncio.sleep(0.15)
    await here.revocations.revoke_token(token_of(8), now_ms() + 60_000)  # something new to look at
    await there.revocations.refresh()
    assert there.believes(mine)


async def test_what_the_cache_forgot_is_told_to_it_again(caches: list[Cache], key: str) -> None:
    here, there = map(Instance, caches)
    mine = token_of(7)
    await here.revocations.revoke_token(mine, now_ms() + 60_000)
    await here.revocations.refresh()
    revocations.LIST = f"revoked-{key}-emptied"  # what both see after a cache came back empty
    await caches[0].mark(revocations.LIST, "something", now_ms() + 1000)
    await caches[0].mark(revocations.LIST, "else", now_ms() + 1000)
    await here.revocations.refresh()
    assert not here.believes(mine)
    await there.revocations.refresh()
    assert not there.believes(mine)


# ---- turns ----


def turns(cache: Cache) -> Turns:
    return Turns(cache, new_ticket=lambda: secrets.token_hex(8))


async def test_a_turn_is_taken_once_by_all_instances_until_its_time_is_over(
    caches: list[Cache], key: str
) -> None:
    one, other = map(turns, caches)
    taken = await asyncio.gather(*(it.take(key, 60_000) for it in (one, other) * 8))
    assert sum(taken) == 1
    assert await other.take(key + "x", 50), "another turn is another's"
    await asyncio.sleep(0.1)
    assert [await other.take(key + "x", 60_000), await one.take(key + "x", 60_000)] == [True, False]


async def test_while_the_cache_is_down_everybody_takes_turns() -> None:
    class Down:
        async def claim(self, *_: object) -> str:
            raise CacheDown

    assert await turns(cast(Cache, Down())).take("P1", 300)
