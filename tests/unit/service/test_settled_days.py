"""What a provider pays out by day: the bill's figures, the day's state, and agreement with the statistics."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shop_order.domain.bill import DAY_MS, BillLine, day_at, first_ms
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Trade, TradeState
from shop_order.domain.settled_day import DayState, SettledSums
from shop_order.domain.status import PaymentType
from shop_order.service.upkeep.reconcile import ReconciliationService
from shop_order.service.upkeep.settled_days import SettledDays
from tests.world.bills import ALIPAY, BUYER, DAY, TODAY, Desk, attempt, paid_at, reconciling, refunded_at
from tests.world.shop import World

NOON_MS = DAY_MS // 2


def settled(world: World, desk: Desk) -> SettledDays:
    return SettledDays(store=world.store.reconciliations, sources={ALIPAY: desk}, real_clock=world.real_now)


async def states(world: World, desk: Desk, first: date, last: date) -> list[DayState]:
    report = await settled(world, desk).report(str(first), str(last))
    return [one.state for one in report.days]


async def test_a_day_has_the_sums_of_its_bill(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await paid_at(world, first_ms(DAY) + NOON_MS)
    back = await refunded_at(world, first_ms(DAY) + 1, first_ms(DAY) + NOON_MS)
    desk.bills[DAY] = [
        BillLine(line.payment_sn, line.trade_no, 1999, fee_fen=12, discount_fen=100),
        BillLine(back.payment_sn, back.trade_no, 1999, fee_fen=12),
        BillLine(back.payment_sn, back.trade_no, 1999, True, back.out_refund_no, -12),
    ]
    await service.reconcile(ALIPAY, DAY)
    report = await settled(world, desk).report(str(DAY), str(DAY))
    (day,) = report.days
    assert (day.day, day.channel, day.state, report.is_complete) == (
        DAY,
        "alipay",
        DayState.RECONCILED,
        True,
    )
    assert day.sums == SettledSums(2, 3998, 1, 1999, 12, 100, 3998, 1999, 0)
    assert day.sums.net_fen == 3998 - 1999 - 12 - 100
    assert report.by_channel == {"alipay": day.sums}


async def test_a_day_that_differs_has_the_bills_figures_and_ours_beside(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    await paid_at(world, first_ms(DAY) + NOON_MS)
    desk.bills[DAY] = [BillLine("P-of-nobody", "T1", 700)]
    await service.reconcile(ALIPAY, DAY)
    report = await settled(world, desk).report(str(DAY), str(DAY))
    (day,) = report.days
    assert (day.state, day.sums.gross_fen, day.sums.our_gross_fen, day.sums.differences) == (
        DayState.DIFFERENCES,
        700,
        1999,
        2,
    )
    assert not report.is_complete


async def test_a_day_without_a_result_says_why(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    yesterday = TODAY - timedelta(days=1)
    world.real_ms = first_ms(TODAY) + desk.out_ms - 1
    assert await states(world, desk, yesterday, TODAY) == [DayState.NOT_OUT, DayState.NOT_OUT]
    world.real_ms += 1
    assert await states(world, desk, yesterday, TODAY) == [DayState.BILL_MISSING, DayState.NOT_OUT]
    desk.bills = {yesterday: [], TODAY: []}
    await service.reconcile(ALIPAY, yesterday)
    await service.reconcile(ALIPAY, TODAY)
    assert await states(world, desk, yesterday, TODAY) == [DayState.RECONCILED, DayState.INCOMPLETE]


async def test_a_channel_alone_and_a_channel_that_is_no_longer_there(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    await service.reconcile(ALIPAY, DAY)
    report = await settled(world, desk).report(str(DAY), str(DAY), PaymentType.WECHAT)
    assert (list(report.days), report.by_channel) == ([], {})
    gone = SettledDays(store=world.store.reconciliations, sources={}, real_clock=world.real_now)
    assert [one.state for one in (await gone.report(str(DAY), str(DAY))).days] == [DayState.RECONCILED]


async def test_thirty_days_until_yesterday_unless_days_are_named(world: World, desk: Desk) -> None:
    report = await settled(world, desk).report()
    assert (report.first_day, report.last_day) == (TODAY - timedelta(days=30), TODAY - timedelta(days=1))
    with pytest.raises(InvalidArgument):
        await settled(world, desk).report("2026-11-02", "2026-11-01")
    with pytest.raises(InvalidArgument):
        await settled(world, desk).report("2024-11-02", "2026-11-01")


# Days after the first: of the order, from there to the payment, and from there to the refund, if any.
Tale = tuple[int, int, int | None]
tales = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.none() | st.integers(0, 1)), min_size=1, max_size=5
)


@settings(max_examples=25, deadline=None)
@given(tales)
def test_settlement_and_statistics_agree_to_the_fen(all_: list[Tale]) -> None:
    """In the sum always; day by day where an order is paid and refunded on the day it was placed."""

    async def play() -> None:
        world = await World().open()
        try:
            await play_in(world, all_)
        finally:
            await world.close()

    asyncio.run(play())


async def play_in(world: World, all_: list[Tale]) -> None:
    start, now_ms, desk = DAY - timedelta(days=9), world.real_ms, Desk()
    paid: Counter[date] = Counter()
    back: Counter[date] = Counter()
    for order_day, pay_days, refund_days in all_:
        world.real_ms = first_ms(start + timedelta(days=order_day)) + NOON_MS
        payment = await attempt(world)
        if refund_days is not None:
            await world.orders.cancel(BUYER, payment.order_sn)
        world.provider.pay(payment.payment_sn)
        world.real_ms += pay_days * DAY_MS
        sn, fen = payment.payment_sn, payment.amount_fen
        trade = Trade(TradeState.PAID, f"T{sn[1:]}", fen, world.real_ms)
        await world.attempts.apply_trade(sn, trade)
        day = day_at(world.real_ms)
        paid[day] += fen
        desk.bills.setdefault(day, []).append(BillLine(sn, trade.trade_no, fen, fee_fen=7))
        if refund_days is not None:
            world.real_ms += refund_days * DAY_MS
            assert await world.settlement.refund_due() == 1
            (refund,) = (await world.store.orders.get(payment.order_sn)).refunds.values()
            day = day_at(world.real_ms)
            back[day] += fen
            line = BillLine(sn, trade.trade_no, fen, True, refund.out_refund_no, -7)
            desk.bills.setdefault(day, []).append(line)
    world.real_ms = now_ms
    await agree(world, desk, start, paid, back)
    if all(pay_days == 0 and not refund_days for _, pay_days, refund_days in all_):
        await agree_by_day(world, desk, start)


async def agree(world: World, desk: Desk, start: date, paid: Counter[date], back: Counter[date]) -> None:
    service = reconciling(world, desk)
    days = [start + timedelta(days=n) for n in range(5)]
    for day in days:
        assert (await service.reconcile(ALIPAY, day)).differences == 0
    while await world.relay.run_once():
        pass
    while await world.order_log.run_once():
        pass
    report = await settled(world, desk).report(str(days[0]), str(days[-1]))
    assert report.is_complete
    assert {one.day: one.sums.gross_fen for one in report.days if one.sums.gross_fen} == dict(paid)
    assert {one.day: one.sums.refunded_fen for one in report.days if one.sums.refunded_fen} == dict(back)
    statistics = (await world.statistics.report(str(days[0]), str(days[-1]))).by_channel["alipay"]
    sums = report.by_channel["alipay"]
    assert (sums.gross_fen, sums.refunded_fen) == (statistics.paid_fen, statistics.refunded_fen)
    assert sums.net_fen == statistics.net_fen - sums.fee_fen
    assert (sums.our_gross_fen, sums.our_refunded_fen) == (sums.gross_fen, sums.refunded_fen)


async def agree_by_day(world: World, desk: Desk, start: date) -> None:
    last = str(start + timedelta(days=4))
    by_day = (await world.statistics.report(str(start), last)).by_day
    for one in (await settled(world, desk).report(str(start), last)).days:
        if (placed := by_day.get(str(one.day))) is not None:
            assert (one.sums.gross_fen, one.sums.refunded_fen) == (placed.paid_fen, placed.refunded_fen)
        else:
            assert one.sums.gross_fen == one.sums.refunded_fen == 0
