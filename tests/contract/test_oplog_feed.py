"""The way to the order log: everything that was published arrives, once, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown, OrderNotFound
from shop_order.domain.order_log import COMPLETE, Backfill, LogUpdate, OrderSummary, day_of, entry_of
from shop_order.domain.ports import OrderLog
from shop_order.domain.status import PaymentType
from shop_order.repository.dao.engine.base import Job
from shop_order.repository.dao.engine.sqlite import SqliteExecutor
from shop_order.repository.dao.store import Store
from shop_order.repository.oplog.sqlite import SqliteOrderLog
from shop_order.service.upkeep import orderlog
from shop_order.service.upkeep.orderlog import OrderLogService
from shop_order.service.upkeep.statistics import OrderTotals, Statistics, StatisticsReport
from tests.contract.archived import cancelled, completed, give_back, late_money
from tests.contract.engine import BUYER, DAY_MS, NOW_MS, add, added, opened, order, paid, sn
from tests.contract.oplog import Log, empty_log
from tests.plugins.engines import available

CHINA_MS = 8 * 3_600_000


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = time.monotonic()

    def __call__(self) -> float:
        return self.now_s


def service(
    store: Store, log: OrderLog, clock: Callable[[], float] | None = None, keep_days: int = 0
) -> OrderLogService:
    """The feed of one process."""
    return OrderLogService(
        feed=store.feed,
        log=log,
        history=store.audit,
        alert=lambda name, **about: pytest.fail(f"{name} {about}"),
        clock=lambda: NOW_MS,
        keep_days=lambda: keep_days,
        monotonic_s=clock or Time(),
    )


async def publish(store: Store) -> None:
    """The relay had everything acknowledged."""
    while events := await store.outbox.take(100, NOW_MS):
        await store.outbox.published([event.id for event in events])


async def settle(feeding: OrderLogService, clock: Time, steps: int = 6) -> None:
    """Step after step, until whatever was told has settled."""
    for _ in range(steps):
        await feeding.run_once()
        clock.now_s += 1.0


async def buy(store: Store, *, and_pay: bool = True) -> str:
    """An order with its story, published."""
    order = await added(store, (1, 2))
    if and_pay:
        await paid(store, order, await opened(store, order))
    await publish(store)
    return order.order_sn


async def told(log: Log, order_sn: str) -> list[tuple[int, str]]:
    return [(e.version, e.action) for e in await log.store.entries(order_sn, 100)]


STORY = [(1, "create"), (2, "payment.opened"), (3, "pay")]


async def test_what_was_published_is_logged_and_leaves_the_feed(store: Store, log: Log) -> None:
    clock = Time()
    feeding = service(store, log.store, clock)
    one, other = await buy(store), await buy(store, and_pay=False)
    assert (await store.feed.lag())[0] == 4
    await settle(feeding, clock)
    assert await store.feed.lag() == (0, 0)
    assert await told(log, one) == STORY
    assert await told(log, other) == STORY[:1]


async def test_orders_from_before_there_was_a_log_are_walked_over(store: Store, log: Log) -> None:
    numbers = [
        (await added(store)).order_sn for _ in range(3)
    ]  # never published: the feed knows none of them
    feeding = service(store, log.store)
    assert [await feeding.backfill_once() for _ in range(3)] == [3, 0, 0]
    assert (await log.store.backfill()).position == COMPLETE
    assert [await told(log, number) for number in numbers] == [STORY[:1]] * 3


async def test_more_than_a_page_is_told_in_steps(
    store: Store, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orderlog, "PAGE", 4)
    monkeypatch.setattr(orderlog, "EVENTS", 2)  # also an order's own story comes in pieces
    clock = Time()
    feeding = service(store, log.store, clock)
    numbers = [await buy(store) for _ in range(4)]
    await settle(feeding, clock, steps=20)
    assert [await told(log, number) for number in numbers] == [STORY] * 4
    assert await store.feed.lag() == (0, 0)


async def test_two_processes_that_feed_at_once_log_everything_once(store: Store, log: Log) -> None:
    clock = Time()
    feeding = [service(store, log.store, clock) for _ in range(2)]
    numbers = [await buy(store) for _ in range(10)]
    for _ in range(8):
        await asyncio.gather(*(one.run_once() for one in feeding))
        clock.now_s += 1.0
    assert [await told(log, number) for number in numbers] == [STORY] * 10
    assert await store.feed.lag() == (0, 0)
    assert (await figures(store, log)) == OrderTotals(10, 20_020, 20_020)


async def test_a_log_that_lost_everything_is_made_anew_by_itself(store: Store, log: Log) -> None:
    clock = Time()
    feeding = service(store, log.store, clock)
    numbers = [await buy(store) for _ in range(3)]
    await settle(feeding, clock)
    await log.store.clear()
    await settle(feeding, clock)
    assert [await told(log, number) for number in numbers] == [STORY] * 3
    assert (await log.store.backfill()).position == COMPLETE


async def test_a_rebuilt_log_says_the_same(store: Store, log: Log) -> None:
    clock = Time()
    feeding = service(store, log.store, clock)
    number, _ = await buy(store), await buy(store, and_pay=False)
    await settle(feeding, clock)
    before = await log.store.entries(number, 100), await figures(store, log)
    assert await feeding.rebuild() == 2
    assert (await log.store.entries(number, 100), await figures(store, log)) == before


@pytest.mark.parametrize("walked", [1, 2], ids=["in the middle", "at its end"])
async def test_a_walk_that_was_paused_while_the_log_was_thrown_away_leaves_nothing_out(
    store: Store, log: Log, walked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orderlog, "PAGE", 1)
    numbers = [(await added(store)).order_sn for _ in range(2)]
    paused, order_sns = service(store, log.store), store.audit.order_sns
    for _ in range(walked):
        await paused.backfill_once()

    async def while_it_was_paused(after: str, limit: int) -> Sequence[str]:
        found = await order_sns(after, limit)
        await log.store.clear()
        return found

    with monkeypatch.context() as pause:
        pause.setattr(store.audit, "order_sns", while_it_was_paused)
        await paused.backfill_once()
    while await service(store, log.store).backfill_once():
        pass
    assert [await told(log, number) for number in numbers] == [STORY[:1]] * 2


class Dropped:
    """A collection of a log that is told something right before it is dropped."""

    def __init__(self, collection: Any, tell: Callable[[], Awaitable[object]]) -> None:
        self._collection = collection
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def drop(self) -> None:
        await self._tell()
        await self._collection.drop()


@pytest.mark.parametrize("url", available("mongodb"))
@pytest.mark.parametrize("dropped", ["_stats", "_logs"])
async def test_what_is_told_while_the_log_is_thrown_away_is_told_again(
    store: Store, url: str, dropped: str
) -> None:
    number = await buy(store)
    async with empty_log(url) as log:
        feeding = service(store, log.store)
        inside: Any = log.store
        setattr(inside, dropped, Dropped(getattr(inside, dropped), lambda: feeding.entries(number)))
        await feeding.rebuild()
        assert await told(log, number) == STORY
        assert (await figures(store, log)).paid_fen == 2002


async def figures(store: Store, log: Log) -> OrderTotals:
    """The sums of all orders."""
    found = await report(store, log)
    assert summed([*found.by_day.values()]) == summed([*found.by_channel.values()]) == found.total
    assert summed([*found.by_status.values()]) == found.total
    return found.total


async def report(store: Store, log: Log) -> StatisticsReport:
    """Of the last days."""
    statistics = Statistics(log=log.store, outbox=store.outbox, feed=store.feed, clock=lambda: NOW_MS)
    return await statistics.report()


def summed(groups: Sequence[OrderTotals]) -> OrderTotals:
    columns = zip(*((s.orders, s.amount_fen, s.paid_fen, s.refunded_fen) for s in groups), strict=True)
    return OrderTotals(*map(sum, columns))


async def test_the_figures_are_those_of_the_orders(store: Store, log: Log) -> None:
    midnight_ms = (NOW_MS + CHINA_MS) // DAY_MS * DAY_MS - CHINA_MS
    for at_ms in (midnight_ms - 1, midnight_ms):
        await added(store, now_ms=at_ms)
        await add(store, order((2, 1), now_ms=at_ms, pay_type=PaymentType.WECHAT))
        await opened(store, await add(store, order(now_ms=at_ms, pay_type=PaymentType.WECHAT)), at_ms)
        await paid(store, both := await added(store, now_ms=at_ms), await opened(store, both, at_ms), at_ms)
        await late_money(store, await cancelled(store))
        await give_back(store, await late_money(store, await cancelled(store)))
        await give_back(store, await twice_paid(store))
        await completed(store)
    await publish(store)
    clock = Time()
    await settle(service(store, log.store, clock), clock)
    expected: dict[tuple[str, str, int], list[int]] = {}
    for order_sn in await store.audit.order_sns("", 100):
        one = await store.orders.get(order_sn)
        day = datetime.fromtimestamp(one.created_ms // 1000, timezone(timedelta(hours=8))).date().isoformat()
        group = expected.setdefault((day, one.pay_type.code, int(one.status)), [0, 0, 0, 0])
        came_fen = sum(p.amount_fen for p in one.payments.values() if p.is_paid)
        back_fen = sum(p.refunded_fen for p in one.payments.values())
        group[:] = [group[0] + 1, group[1] + one.pay_fen, group[2] + came_fen, group[3] + back_fen]
    found = await log.store.figures("2000-01-01", "2100-01-01")
    assert {
        (f.day, f.channel, f.status): [f.orders, f.amount_fen, f.paid_fen, f.refunded_fen] for f in found
    } == expected
    assert sum(paid for _, _, paid, _ in expected.values()) > sum(back for *_, back in expected.values()) > 0
    assert {channel for _, channel, _ in expected} == {"", "alipay", "wechat"}
    assert len({day for day, _, _ in expected}) > 1


async def twice_paid(store: Store) -> Order:
    """A paid order, and money for an earlier attempt of it."""
    new = await added(store)
    first = await opened(store, new)
    await store.orders.change(new.order_sn, lambda o: o.close_attempt(first.payment_sn, BUYER, NOW_MS))
    await paid(store, new, await opened(store, new))
    return await paid(store, new, first)


@pytest.mark.parametrize("at", [COMPLETE, "0"])
async def test_facts_that_an_earlier_version_drew_are_drawn_again_and_no_entry_is_lost(
    store: Store, log: Log, at: str
) -> None:
    late = await give_back(store, await late_money(store, await cancelled(store)))
    unsurplus = OrderSummary(
        late.order_sn, late.version, 7, day_of(NOW_MS), 5, "alipay", "", late.pay_fen, 0, 0
    )
    entries = [entry_of(event) for event in await store.orders.history(late.order_sn)]
    await log.store.append([LogUpdate(0, entries, unsurplus)])
    await log.store.advance_backfill(Backfill(), at)  # as that version marked it
    await publish(store)
    assert not (await report(store, log)).is_complete
    before = await log.store.entries(late.order_sn, 100)
    feeding = service(store, log.store)
    while await feeding.backfill_once():
        pass
    assert (await log.store.backfill()).is_complete
    assert await log.store.entries(late.order_sn, 100) == before
    counted = await figures(store, log)
    assert (counted.paid_fen, counted.refunded_fen, counted.net_fen) == (late.pay_fen, late.pay_fen, 0)
    begun = await log.store.backfill()
    assert await feeding.backfill_once() == 0
    assert await log.store.backfill() == begun, "once"


async def test_an_order_is_looked_up_with_what_the_log_was_not_told_yet(store: Store, log: Log) -> None:
    order = await added(store)
    feeding = service(store, log.store)
    assert [e.action for e in await feeding.entries(order.order_sn)] == ["create"]
    await opened(store, order)
    assert [e.action for e in await feeding.entries(order.order_sn)] == ["create", "payment.opened"]
    with pytest.raises(OrderNotFound):
        await feeding.entries(sn())


async def test_entries_whose_time_is_over_go_and_do_not_come_back(store: Store, log: Log) -> None:
    clock = Time()
    feeding = service(store, log.store, clock)
    old = (await added(store, now_ms=NOW_MS - 30 * DAY_MS - 1)).order_sn
    young = (await added(store, now_ms=NOW_MS - 30 * DAY_MS)).order_sn
    await publish(store)
    await settle(feeding, clock)
    assert await feeding.purge() == 0  # 0 days keep for ever
    forgetting = service(store, log.store, clock, keep_days=30)
    assert await forgetting.purge() == 1
    for _ in range(2):
        assert list(await forgetting.entries(old)) == []
        assert await told(log, young) == STORY[:1]
        assert sum(f.orders for f in await log.store.figures("2000-01-01", "2100-01-01")) == 2
        await forgetting.rebuild()  # the second time: a log that is made anew
    assert await forgetting.purge() == 0


class ForgetfulLog(SqliteOrderLog):
    """Acknowledges before it journals: what it was told is lost until `journal` is set."""

    durable_after_s = 2.0
    journal = False

    async def append(self, updates: Sequence[LogUpdate]) -> Collection[str]:
        if self.journal:
            await super().append(updates)
        return ()


async def test_what_the_log_acknowledged_and_lost_is_told_again(store: Store, tmp_path: Path) -> None:
    forgetful = ForgetfulLog(tmp_path / "log.db")
    await forgetful.advance_backfill(Backfill(), COMPLETE)
    clock = Time()
    feeding = service(store, forgetful, clock)
    number = await buy(store)
    await settle(feeding, clock)
    assert (await store.feed.lag())[0] == 3
    forgetful.journal = True
    await feeding.run_once()
    assert (await store.feed.lag())[0] == 3  # it says it has them, but not for long enough
    await settle(feeding, clock)
    assert await store.feed.lag() == (0, 0)
    assert [e.version for e in await forgetful.entries(number, 10)] == [1, 2, 3]
    await forgetful.close()


class AwayFile(SqliteExecutor):
    """A log's file that can be gone."""

    gone = False

    def _batch(self, jobs: Sequence[Job]) -> Sequence[Any]:
        if self.gone:
            raise DependencyDown("order_log")
        return super()._batch(jobs)


async def test_a_log_that_is_away_holds_up_nobody_and_catches_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shop_order.repository.oplog.sqlite.SqliteExecutor", AwayFile)
    log = SqliteOrderLog(tmp_path / "log.db")
    clock = Time()
    feeding = service(store, log, clock)
    monkeypatch.setattr(AwayFile, "gone", True)
    number = await buy(store)
    assert await store.outbox.orders_waiting() == set()
    with pytest.raises(DependencyDown):
        await feeding.run_once()
    assert feeding.unavailable
    assert [e.version for e in await feeding.entries(number)] == [1, 2, 3]  # out of the order's own history
    monkeypatch.setattr(AwayFile, "gone", False)
    await settle(feeding, clock)
    assert not feeding.unavailable
    assert [e.version for e in await log.entries(number, 10)] == [1, 2, 3]
    assert await store.feed.lag() == (0, 0)
    await log.close()
