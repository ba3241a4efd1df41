"""The daily roots over every order database: what the chains alone can't tell, the roots do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from shop_order.domain.event.order_events import event_hash
from shop_order.domain.history_root import BEFORE_FIRST_ID, Leaf, Root, SealedDay
from shop_order.domain.ports import Fence, LeaseLost, RootConflict
from shop_order.pkg.ed25519 import Ed25519Keys, new_private_pem
from shop_order.service.upkeep import daily_root
from shop_order.service.upkeep.audit import AuditService
from tests.contract.archived import archiving
from tests.contract.engine import BUYER, late_clock
from tests.contract.sealing import (
    FIRST_DAY,
    HOUR_MS,
    MARGIN_MS,
    SECOND_DAY,
    THIRD_DAY,
    Sealing,
    days_of,
    three_days,
)

# ---- sealing ----


async def test_each_day_is_sealed_when_it_is_over_by_an_hour(sealing: Sealing) -> None:
    await sealing.story()
    sealing.is_after(FIRST_DAY, MARGIN_MS - 1)
    await sealing.seal()
    assert [day for day, events in await days_of(sealing) if day >= FIRST_DAY] == []
    sealing.is_after(FIRST_DAY, MARGIN_MS)
    await sealing.seal()
    assert (await days_of(sealing))[-1] == (FIRST_DAY, 4)
    found = await sealing.verified()
    assert (found.last_day, found.what, found.broken_day) == (FIRST_DAY, "", "")


@pytest.mark.parametrize("wrong", ["ahead_ms", "database_ahead_ms"])
async def test_a_clock_that_is_ahead_seals_no_day_that_goes_on(sealing: Sealing, wrong: str) -> None:
    await sealing.seal()  # the day before, which is over
    setattr(sealing, wrong, 24 * HOUR_MS)
    await sealing.seal()
    assert [day for day, _ in await days_of(sealing) if day >= FIRST_DAY] == []
    await sealing.story()
    sealing.is_after(FIRST_DAY)
    await sealing.seal()
    assert (await days_of(sealing))[-1] == (FIRST_DAY, 4)


async def test_the_first_root_covers_all_before_and_days_that_were_missed_follow(sealing: Sealing) -> None:
    await sealing.story()
    sealing.is_after(FIRST_DAY, 3 * 24 * HOUR_MS)
    await sealing.story()
    await sealing.seal()
    assert [events for _, events in await days_of(sealing)] == [4]
    sealing.now_ms += 3 * 24 * HOUR_MS
    await sealing.seal(days=3)
    days = await days_of(sealing)
    assert [day for day, _ in days] == ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"]
    assert sum(events for _, events in days) == 8
    assert (await sealing.verified()).days == 4


async def test_no_event_belongs_to_two_days_or_to_none(sealing: Sealing) -> None:
    for at_ms in (-1, 0):
        sealing.is_after(FIRST_DAY, at_ms)
        await sealing.story()
    sealing.is_after(FIRST_DAY)
    await sealing.seal()
    sealing.is_after(SECOND_DAY)
    await sealing.seal()
    assert await days_of(sealing) == [(FIRST_DAY, 4), (SECOND_DAY, 4)]


async def test_a_day_of_many_pages_is_the_same_day(sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        await sealing.story()
    sealing.is_after(FIRST_DAY)
    monkeypatch.setattr(daily_root, "PAGE", 3)
    sealer, fence = sealing.sealer(), await sealing.fence()
    steps = [await sealer.step(fence) for _ in range(11)]
    assert steps[:10] == [3] * 9 + [2]
    assert await days_of(sealing) == [(FIRST_DAY, 20)]
    assert (await sealing.verified()).what == "", "read in pages of another size"


async def test_a_process_that_ends_in_the_middle_of_a_day_costs_nothing_but_time(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await sealing.story()
    sealing.is_after(FIRST_DAY)
    monkeypatch.setattr(daily_root, "PAGE", 5)
    sealer, fence = sealing.sealer(), await sealing.fence()
    assert await sealer.step(fence) == 5
    await sealing.engine.reopen()
    await sealing.seal(days=2)
    assert await days_of(sealing) == [(FIRST_DAY, 12)]
    assert (await sealing.verified()).what == ""


async def test_the_history_is_sealed_also_of_orders_that_were_archived(sealing: Sealing) -> None:
    first = await sealing.story()
    await sealing.store.orders.change(first, lambda o: o.complete(BUYER, sealing.now_ms))
    sealing.is_after(FIRST_DAY)
    await sealing.seal()
    assert (await archiving(sealing.store, sealing.now_ms + 10**12).run_once(1)).archived == 1
    assert (await sealing.verified()).what == ""


# ---- who wakes up late ----


async def test_a_root_is_stored_only_behind_the_last_one(sealing: Sealing) -> None:
    await three_days(sealing)
    roots, fence = sealing.store.roots, await sealing.fence()
    last = await roots.last()
    assert last is not None
    before = await roots.page("", 9)
    for late in (
        replace(last, signature=b"s" * 64),
        Root(replace(last.sealed, day="2026-11-25"), last.root, "k", b"s", 0),
        Root(SealedDay("2026-11-01", 1, 0, b"d" * 32, last.root), b"r" * 32, "k", b"s", 0),
    ):
        with pytest.raises(RootConflict):
            await roots.add(late, fence)
    with pytest.raises(LeaseLost):
        follows = Root(SealedDay("2026-11-25", 1, 0, b"d" * 32, last.root), b"r" * 32, "k", b"s", 0)
        await roots.add(follows, Fence(fence.lease, fence.number + 1))
    assert await roots.page("", 9) == before


async def test_what_was_read_under_an_earlier_lease_is_read_anew(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await sealing.story()
    sealing.is_after(FIRST_DAY)
    monkeypatch.setattr(daily_root, "PAGE", 5)
    sealer, fence = sealing.sealer(), await sealing.fence()
    read = []
    leaves = sealing.store.roots.leaves

    async def reading(after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        read.append(after_id)
        return await leaves(after_id, upto_id, limit)

    monkeypatch.setattr(sealing.store.roots, "leaves", reading)
    for number in (1, 1, 3):  # another had it in between
        await sealer.step(replace(fence, number=number))
    assert read[0] == read[2] == BEFORE_FIRST_ID < read[1]


async def test_a_window_begins_behind_one_id_and_ends_with_another(sealing: Sealing) -> None:
    number = await sealing.story()
    ids = [event.id for event in await sealing.store.audit.chain(number)]
    found = await sealing.store.roots.leaves(ids[0], ids[2], 9)
    assert [leaf.id for leaf in found] == ids[1:3]
    assert [leaf.id for leaf in await sealing.store.roots.leaves(ids[0], ids[3], 2)] == ids[1:3]


class Paused:
    """The first page that is read is held back until `go_on`."""

    def __init__(self, sealing: Sealing) -> None:
        self._leaves = sealing.store.roots.leaves
        self.with_it, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        found = await self._leaves(after_id, upto_id, limit)
        if not self.with_it.is_set():
            self.with_it.set()
            await self.go_on.wait()
        return found


async def test_a_holder_that_was_paused_seals_nothing_after_another_did(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealing.story()
    sealing.is_after(FIRST_DAY)
    paused = Paused(sealing)
    monkeypatch.setattr(sealing.store.roots, "leaves", paused)
    holder = asyncio.ensure_future(sealing.sealer().step(await sealing.fence()))
    await asyncio.wait_for(paused.with_it.wait(), 5)
    await sealing.seal()
    before = await sealing.store.roots.page("", 9)
    assert len(before) == 1
    paused.go_on.set()
    assert await holder == 4
    assert await sealing.store.roots.page("", 9) == before


# ---- what the roots show ----


async def test_a_tail_that_was_cut_off_is_seen_by_the_root_alone(sealing: Sealing) -> None:
    _, second = await sealing.two_days()
    audit = AuditService(sealing.store.audit, late_clock)
    assert (await audit.verify(), (await sealing.verified()).what) == ((2, []), "")
    sealing.unguard()
    for table in ("order_event", "outbox"):
        sealing.engine.sql(f"DELETE FROM {table} WHERE order_sn = ? AND version > 1", second)
    sealing.engine.sql(
        "UPDATE order_info SET version = 1, status = 1, pay_type = '', payment_sn = '', trade_no = '',"
        " pay_time = NULL, logistics_company = '', logistics_no = '', shipped_ms = 0, due_ms = expire_ms,"
        " updated_at = created_at WHERE order_sn = ?",
        second,
    )
    sealing.engine.sql("DELETE FROM payment WHERE order_sn = ?", second)
    assert await audit.verify() == (2, []), "the chains alone can't tell"
    found = await sealing.verified()
    assert (found.days, found.broken_day) == (1, SECOND_DAY)
    assert found.what == "has 5 of its 8 sealed events: the others were removed"


async def test_a_whole_order_that_was_removed_is_seen(sealing: Sealing) -> None:
    numbers = await three_days(sealing)
    sealing.unguard()
    for table in ("order_event", "order_info", "payment", "outbox", "order_sn_claim"):
        sealing.engine.sql(f"DELETE FROM {table} WHERE order_sn = ?", numbers[1])
    assert await AuditService(sealing.store.audit, late_clock).verify() == (2, [])
    found = await sealing.verified()
    assert (found.days, found.broken_days, found.last_day) == (3, [SECOND_DAY], THIRD_DAY)
    assert "removed" in found.what


async def test_a_chain_that_was_written_anew_is_seen(sealing: Sealing) -> None:
    (number, *_) = await three_days(sealing)
    sealing.unguard()
    (event, *_) = [e for e in await sealing.store.audit.chain(number) if e.version == 4]
    payload = event.payload.replace(b'"operator":"user"', b'"operator":"boss"')
    assert payload != event.payload
    forged = event_hash(
        event.prev_hash,
        id=event.id,
        order_sn=number,
        version=4,
        type=event.type,
        payload=payload,
        created_ms=event.created_ms,
    )
    sealing.engine.sql(
        "UPDATE order_event SET payload = ?, hash = ? WHERE order_sn = ? AND version = 4",
        payload,
        forged,
        number,
    )
    assert await AuditService(sealing.store.audit, late_clock).verify(number) == (1, [])
    found = await sealing.verified()
    assert (found.broken_day, "some were altered" in found.what) == (FIRST_DAY, True)


async def test_an_event_that_comes_after_its_day_was_sealed_is_named(sealing: Sealing) -> None:
    await three_days(sealing)
    sealing.is_after(SECOND_DAY, -HOUR_MS)  # a process that was paused for long, or a forger
    await sealing.story()
    sealing.is_after(THIRD_DAY)
    found = await sealing.verified()
    assert (found.broken_day, found.what) == (
        SECOND_DAY,
        "has 8 events, 4 of them added after the day was sealed",
    )


async def test_a_day_that_differs_hides_no_other_one(sealing: Sealing) -> None:
    numbers = await three_days(sealing)
    sealing.unguard()
    for number in (numbers[0], numbers[2]):
        sealing.engine.sql("DELETE FROM order_event WHERE order_sn = ? AND version = 4", number)
    assert (await sealing.verified()).broken_days == [FIRST_DAY, THIRD_DAY]


@pytest.mark.parametrize(
    ("tampering", "day", "what"),
    [
        ("UPDATE history_root SET events = 3 WHERE day = '2026-11-19'", SECOND_DAY, "was altered"),
        ("UPDATE history_root SET last_id = last_id + 1 WHERE day = '2026-11-19'", SECOND_DAY, "was altered"),
        ("UPDATE history_root SET digest = prev_root WHERE day = '2026-11-18'", FIRST_DAY, "was altered"),
        ("UPDATE history_root SET signature = root WHERE day = '2026-11-20'", THIRD_DAY, "forged"),
        ("UPDATE history_root SET prev_root = digest WHERE day = '2026-11-20'", THIRD_DAY, "does not follow"),
        ("UPDATE history_root SET key_id = 'another' WHERE day = '2026-11-18'", FIRST_DAY, "key another"),
        ("DELETE FROM history_root WHERE day = '2026-11-19'", SECOND_DAY, "has no root, though"),
        ("DELETE FROM history_root WHERE day = '2026-11-18'", SECOND_DAY, "does not follow"),
        ("UPDATE history_root SET day = '2026-11-31' WHERE day = '2026-11-19'", SECOND_DAY, "has no root"),
        ("UPDATE history_root SET day = 'x' WHERE day = '2026-11-20'", THIRD_DAY, "has no root"),
        ("UPDATE history_root SET day = 'x' WHERE day = '2026-11-18'", SECOND_DAY, "does not follow"),
        ("UPDATE order_event SET hash = 'x' WHERE version = 1", FIRST_DAY, "altered"),
    ],
)
async def test_a_root_that_was_altered_or_removed_is_named(
    sealing: Sealing, tampering: str, day: str, what: str
) -> None:
    await three_days(sealing)
    sealing.unguard()
    sealing.engine.sql(tampering)
    found = await sealing.verified()
    assert found.broken_day == day
    assert what in found.what


async def test_days_without_a_root_are_named_once_they_are_late(sealing: Sealing) -> None:
    numbers = await three_days(sealing)
    assert len(numbers) == 3
    sealing.unguard()
    sealing.engine.sql(f"DELETE FROM history_root WHERE day = '{THIRD_DAY}'")
    assert (await sealing.verified()).what == "", "it may be sealed any moment"
    sealing.is_after(THIRD_DAY, 25 * HOUR_MS)
    found = await sealing.verified()
    assert (found.broken_day, "not sealed" in found.what) == (THIRD_DAY, True)
    sealing.engine.sql("DELETE FROM history_root")
    assert (await sealing.verified()).broken_day == "the first day"


async def test_roots_of_an_earlier_key_hold_as_long_as_the_file_has_it(sealing: Sealing) -> None:
    first = sealing.pem
    await three_days(sealing)
    sealing.pem = new_private_pem() + first
    sealing.is_after("2026-11-21")
    await sealing.seal()
    found = await sealing.verified()
    assert (found.days, found.what) == (4, "")
    keys = {root.key_id for root in await sealing.store.roots.page("", 9)}
    assert len(keys) == 2
    sealing.pem = sealing.pem.removesuffix(first)
    found = await sealing.verified()
    assert (found.broken_day, "AUDIT__ROOT_KEY_FILE" in found.what) == (FIRST_DAY, True)


async def test_who_has_the_database_but_not_the_key_can_make_no_root(sealing: Sealing) -> None:
    await three_days(sealing)
    ours = sealing.pem
    sealing.unguard()
    sealing.engine.sql(f"DELETE FROM history_root WHERE day = '{THIRD_DAY}'")
    sealing.pem = new_private_pem()
    await sealing.seal()
    sealing.pem = ours
    (forged,) = {r.key_id for r in await sealing.store.roots.page(SECOND_DAY, 9)}
    real = Ed25519Keys(ours).sign(b"")[0]
    sealing.engine.sql("UPDATE history_root SET key_id = ? WHERE key_id = ?", real, forged)
    found = await sealing.verified()
    assert (found.broken_day, "forged" in found.what) == (THIRD_DAY, True)


async def test_how_long_ago_the_last_sealed_day_ended(sealing: Sealing) -> None:
    assert 24 <= await sealing.sealer().lag_ms() / HOUR_MS < 48
    sealing.is_after(FIRST_DAY)
    await sealing.seal()
    assert await sealing.sealer().lag_ms() == 2 * HOUR_MS
