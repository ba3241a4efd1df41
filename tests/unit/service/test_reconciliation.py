"""Which bill money is looked for in, when a day is due, and what becomes of money nobody told us of."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest

from shop_order.domain.bill import DAY_MS, Bill, BillLine, BillNotOut, BillUnusable, Kind, day_at, first_ms
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, InvalidArgument
from shop_order.domain.lease import Fence, LeaseLost
from shop_order.domain.ports import Trade
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.actor import Actor, Role
from shop_order.domain.valueobject.item import Line
from shop_order.service import reconciliation
from shop_order.service.order import PlaceOrder
from shop_order.service.payment import PayOrder
from shop_order.service.reconciliation import ReconciliationService
from tests.world.shop import ADDRESS, World

ALIPAY = PaymentType.ALIPAY
BUYER = Actor(Role.USER, 7)
TODAY = day_at(1_795_000_000_000)  # of the world
DAY = TODAY - timedelta(days=2)
MINUTE_MS = 60_000


@dataclass
class Desk:
    """A provider that gives bills of days it has, and remembers who asked."""

    bills: dict[date, list[BillLine]] = field(default_factory=dict)
    asked: list[date] = field(default_factory=list)
    fails: Exception | None = None
    there: bool = True
    payment_type = ALIPAY

    def available(self) -> bool:
        return self.there

    async def bill(self, day: date) -> Bill:
        self.asked.append(day)
        if self.fails:
            raise self.fails
        if day not in self.bills:
            raise BillNotOut(day)
        return Bill(day, self.bills[day])

    async def read(self, day: date, content: bytes) -> Bill:
        return Bill(day, [])


@pytest.fixture
def desk() -> Desk:
    return Desk({DAY: [], DAY - timedelta(days=1): []})


@pytest.fixture
def service(world: World, desk: Desk) -> ReconciliationService:
    return ReconciliationService(
        store=world.store.reconciliations,
        sources={ALIPAY: desk},
        real_clock=world.real_now,
        clock=world.clock,
        fence=lambda: world.store.leases.fence("reconcile"),
        tell=world.alert,
        settle_s=0.0,
    )


async def attempt(world: World) -> Payment:
    """An open one."""
    order = (await world.orders.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    return (await world.payments.pay(BUYER, PayOrder(order.order_sn, ALIPAY))).result.payment


async def paid_at(world: World, ms: int) -> BillLine:
    """A payment of that moment; as the bill would have it."""
    payment = await attempt(world)
    world.provider.pay(payment.payment_sn)
    trade_no = f"T{payment.payment_sn[1:]}"
    await world.payments.believe(payment.payment_sn, Trade("paid", trade_no, payment.amount_fen, ms))
    return BillLine(payment.payment_sn, trade_no, payment.amount_fen)


async def refunded_at(world: World, asked_ms: int, ended_ms: int) -> BillLine:
    """Money for a cancelled order that goes back; as the bill would have it."""
    payment = await attempt(world)
    await world.orders.cancel(BUYER, payment.order_sn)
    world.provider.pay(payment.payment_sn)
    real_ms, world.real_ms = world.real_ms, asked_ms
    fen = payment.amount_fen
    await world.payments.believe(payment.payment_sn, Trade("paid", f"T{payment.payment_sn}", fen, asked_ms))
    world.real_ms = ended_ms
    assert await world.settlement.refund_due() == 1
    world.real_ms = real_ms
    (refund,) = (await world.store.orders.get(payment.order_sn)).refunds.values()
    return BillLine(payment.payment_sn, f"T{payment.payment_sn}", fen, True, refund.refund_sn)


async def kinds(service: ReconciliationService, day: date) -> list[Kind]:
    return [one.kind for one in (await service.reconcile(ALIPAY, day)).shown]


async def age_h(service: ReconciliationService) -> float:
    """Of the last reconciled day."""
    ((_, age_s, _),) = await service.behind()
    return age_s / 3600


# ---- which bill ----


async def test_a_payment_in_its_days_bill_agrees_and_one_in_none_does_not(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await paid_at(world, first_ms(DAY) + DAY_MS // 2)
    desk.bills[DAY] = [line]
    assert await kinds(service, DAY) == []
    desk.bills[DAY] = []
    result = await service.reconcile(ALIPAY, DAY)
    (one,) = result.shown
    assert (one.kind, one.number, one.ours_fen) == (Kind.NOT_IN_BILL, line.payment_sn, 1999)
    assert (result.ours.paid_fen, result.theirs.paid_fen) == (1999, 0)
    assert DAY - timedelta(days=1) not in desk.asked, "noon is near no edge"


@pytest.mark.parametrize("offset_ms", [-MINUTE_MS, MINUTE_MS])
async def test_what_is_near_midnight_may_stand_in_the_bill_before(
    world: World, desk: Desk, service: ReconciliationService, offset_ms: int
) -> None:
    line = await paid_at(world, first_ms(DAY) + offset_ms)
    assert await kinds(service, DAY) == [Kind.NOT_IN_BILL]
    desk.bills[DAY - timedelta(days=1)] = [line]
    assert await kinds(service, DAY) == []


async def test_the_last_minutes_of_a_day_are_looked_for_with_the_next(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await paid_at(world, first_ms(DAY) + DAY_MS - MINUTE_MS)
    result = await service.reconcile(ALIPAY, DAY)
    assert (result.differences, result.waiting, result.ours.trades) == (0, 1, 0)
    after = DAY + timedelta(days=1)
    desk.bills[after] = []
    assert await kinds(service, after) == [Kind.NOT_IN_BILL], "in neither bill: told once, by the second"
    desk.bills[after] = [line]
    assert await kinds(service, after) == []


async def test_a_refund_is_looked_for_since_it_was_asked_for(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await refunded_at(world, first_ms(DAY) - 2 * DAY_MS, first_ms(DAY) + DAY_MS // 2)
    for n in range(1, 4):
        desk.bills[DAY - timedelta(days=n)] = []
    assert await kinds(service, DAY) == [Kind.REFUND_NOT_IN_BILL]
    desk.bills[DAY - timedelta(days=2)] = [line]
    assert await kinds(service, DAY) == []
    assert DAY - timedelta(days=4) not in desk.asked


async def test_each_bill_beside_is_fetched_once(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    for minute in range(3):
        await paid_at(world, first_ms(DAY) + minute * MINUTE_MS)
    assert await kinds(service, DAY) == [Kind.NOT_IN_BILL] * 3
    assert sorted(desk.asked) == [DAY - timedelta(days=1), DAY]


async def test_a_walk_has_pages(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "PAGE", 2)
    noon_ms = first_ms(DAY) + DAY_MS // 2
    lines = [await paid_at(world, noon_ms + n // 3) for n in range(5)]
    backs = [await refunded_at(world, noon_ms, noon_ms + n // 2) for n in range(3)]
    noticed = [BillLine(b.payment_sn, b.trade_no, b.amount_fen) for b in backs]
    result = await service.reconcile(ALIPAY, DAY)
    assert sorted(one.number for one in result.shown) == sorted(
        one.number for one in [*lines, *backs, *noticed]
    )
    desk.bills[DAY] = [*lines, *noticed, *backs]
    result = await service.reconcile(ALIPAY, DAY)
    assert (result.differences, result.ours, result.theirs.trades) == (0, result.theirs, 8)


async def test_a_number_counts_once_however_often_the_bill_has_it(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await paid_at(world, first_ms(DAY) + DAY_MS // 2)
    back = await refunded_at(world, first_ms(DAY) + 1, first_ms(DAY) + DAY_MS // 2)
    paid = BillLine(back.payment_sn, back.trade_no, back.amount_fen)
    desk.bills[DAY] = [line, paid, line, back, back]
    assert await kinds(service, DAY) == [Kind.TWICE_IN_BILL, Kind.REFUND_TWICE_IN_BILL]


async def test_the_test_clock_moves_no_bill(world: World, desk: Desk, service: ReconciliationService) -> None:
    await world.clock.advance(10 * 86_400)
    with pytest.raises(InvalidArgument):
        await service.reconcile(ALIPAY, TODAY + timedelta(days=1))
    assert all(day < TODAY for _, day in await service.due())


# ---- money nobody told us of ----


async def test_money_that_nobody_told_us_of_is_asked_for_and_settled_the_usual_way(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    payment = await attempt(world)
    world.provider.pay(payment.payment_sn)
    line = BillLine(payment.payment_sn, f"T{payment.payment_sn[1:]}", payment.amount_fen)
    desk.bills[DAY] = [line]
    assert await kinds(service, DAY) == [Kind.NOT_PAID_HERE]
    order = await world.store.orders.get(payment.order_sn)
    assert order.status is OrderStatus.PENDING, "a reconciliation itself settles nothing"
    service._settle_s = 5.0
    reconciling = asyncio.create_task(service.reconcile(ALIPAY, DAY))
    await asyncio.sleep(0.1)
    assert await world.settlement.ask_due() == 1
    result = await reconciling
    assert (result.differences, result.settled) == (0, 1)
    assert (await world.store.orders.get(payment.order_sn)).status is OrderStatus.PAID


async def test_a_closed_attempt_that_nobody_asks_about_any_more_is_asked_about_again(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    payment = await attempt(world)
    await world.clock.advance(3600)
    await world.timeout.run_once()
    await world.settlement.ask_due()
    assert await world.settlement.ask_due() == 0
    world.provider.ledger[payment.payment_sn].state = "absent"
    world.provider.pay(payment.payment_sn)
    desk.bills[DAY] = [BillLine(payment.payment_sn, f"T{payment.payment_sn[1:]}", payment.amount_fen)]
    assert await kinds(service, DAY) == [Kind.NOT_PAID_HERE]
    assert await world.settlement.ask_due() == 1
    (refund,) = (await world.store.orders.get(payment.order_sn)).refunds.values()
    assert refund.reason == "LATE_PAYMENT"
    assert await kinds(service, DAY) == []


async def test_a_bill_that_lies_moves_no_money(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    payment = await attempt(world)
    desk.bills[DAY] = [BillLine(payment.payment_sn, "T1", payment.amount_fen)]
    assert await kinds(service, DAY) == [Kind.NOT_PAID_HERE]
    await world.settlement.ask_due()
    assert (await world.store.orders.get(payment.order_sn)).status is OrderStatus.PENDING


# ---- what is not out, and what is due ----


async def test_a_day_without_a_bill_was_empty_once_the_next_is_over(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    yesterday = TODAY - timedelta(days=1)
    world.real_ms = first_ms(TODAY) + DAY_MS - 1
    with pytest.raises(BillNotOut):
        await service.reconcile(ALIPAY, yesterday)
    line = await paid_at(world, first_ms(yesterday) + DAY_MS // 2)
    world.real_ms += 1
    (one,) = (await service.reconcile(ALIPAY, yesterday)).shown
    assert (one.kind, one.number) == (Kind.NOT_IN_BILL, line.payment_sn)


async def test_a_channel_without_bills_is_refused(service: ReconciliationService) -> None:
    with pytest.raises(ChannelUnavailable):
        await service.reconcile(PaymentType.WECHAT, DAY)


async def test_a_day_is_due_at_half_past_ten_of_the_next_and_missed_ones_are_made_up_for(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    week = [TODAY - timedelta(days=n) for n in range(7, 0, -1)]
    desk.bills = {day: [] for day in week}
    done: list[date] = []
    world.real_ms = first_ms(TODAY) + 10 * 3_600_000 + 30 * MINUTE_MS - 1
    while due := await service.due():
        done += [day for _, day in due]
        assert await service.step() == 1
    assert done == week[:-1]
    assert await age_h(service) == pytest.approx(24 + 10.5)
    world.real_ms += 1
    assert await service.due() == [(ALIPAY, week[-1])]
    assert await service.step() == 1
    assert (await service.due(), await service.step()) == ([], 0)
    assert await age_h(service) == pytest.approx(10.5)
    desk.there = False
    world.real_ms += DAY_MS
    assert (await service.due(), await service.behind()) == ([], [])


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (BillNotOut(DAY), None),
        (DependencyDown("alipay"), "bill_away"),
        (ChannelUnavailable("alipay"), "bill_away"),
        (BillUnusable("cut off"), "bill_unusable"),
    ],
)
async def test_a_bill_that_does_not_come_is_left_alone_for_a_while_and_holds_up_no_other(
    world: World, desk: Desk, service: ReconciliationService, fails: Exception, told: str | None
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    desk.fails = fails
    if isinstance(fails, BillNotOut):
        days = [TODAY - timedelta(days=1)]
        desk.fails = None
        desk.bills = {TODAY - timedelta(days=n): [] for n in range(2, 8)}
        for _ in range(6):
            assert await service.step() == 1
        desk.fails = fails
    else:
        days = [TODAY - timedelta(days=n) for n in range(7, 0, -1)]
    for day in days:
        assert await service.due() == [(ALIPAY, day)]
        assert await service.step() == 0
    assert await service.due() == []
    assert {name for name, _ in world.alerts} == ({told} if told else set())


async def test_a_row_of_ours_that_was_altered_holds_up_its_own_day_only(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    desk.bills = {TODAY - timedelta(days=n): [] for n in range(1, 9)}
    line = await paid_at(world, first_ms(DAY) + DAY_MS // 2)
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("UPDATE payment SET state = 'lost' WHERE payment_sn = ?", (line.payment_sn,))
    while await service.due():
        await service.step()
    since = TODAY - timedelta(days=7)
    assert len(await world.store.reconciliations.days(ALIPAY, since)) == 6
    ((name, about),) = world.alerts
    assert (name, about["day"]) == ("bill_unusable", str(DAY))
    assert line.payment_sn in str(about["error"])


async def test_what_differs_is_told_and_counted_until_it_agrees(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    line = BillLine("P-of-nobody", "T9", 700)
    desk.bills = {TODAY - timedelta(days=n): [line] if n == 7 else [] for n in range(1, 8)}
    while await service.due():
        await service.step()
    ((name, about),) = world.alerts
    assert (name, about["numbers"]) == ("bill_differs", ["P-of-nobody"])
    assert (await service.behind())[0][2] == 1, "also when later days agree"
    desk.bills[TODAY - timedelta(days=7)] = []
    await service.reconcile(ALIPAY, TODAY - timedelta(days=7))
    assert (await service.behind())[0][2] == 0


async def test_the_fence_is_taken_before_the_first_look(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = [2]
    service._fence = lambda: Fence("reconcile", number[0])
    real = desk.bill

    async def paused(day: date) -> Bill:
        number[0] = 1
        return await real(day)

    monkeypatch.setattr(desk, "bill", paused)
    with pytest.raises(LeaseLost):
        await service.reconcile(ALIPAY, DAY)
    assert await world.store.reconciliations.days(ALIPAY, DAY) == set()
