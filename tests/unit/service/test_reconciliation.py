"""Which bill money is looked for in, and what becomes of money nobody told us of."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from shop_order.domain.bill import DAY_MS, BillLine, Mismatch, first_ms
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.status import OrderStatus
from shop_order.service.upkeep import day_comparison
from shop_order.service.upkeep import reconcile as reconciliation
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.world.bills import (
    ALIPAY,
    DAY,
    MINUTE_MS,
    TODAY,
    Desk,
    attempt,
    kinds,
    paid_at,
    refunded_at,
)
from tests.world.shop import World

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
    assert (one.kind, one.number, one.ours_fen) == (Mismatch.NOT_IN_BILL, line.payment_sn, 1999)
    assert (result.ours.paid_fen, result.theirs.paid_fen) == (1999, 0)
    assert DAY - timedelta(days=1) not in desk.asked, "noon is near no edge"


@pytest.mark.parametrize("offset_ms", [-MINUTE_MS, MINUTE_MS])
async def test_what_is_near_midnight_may_stand_in_the_bill_before(
    world: World, desk: Desk, service: ReconciliationService, offset_ms: int
) -> None:
    line = await paid_at(world, first_ms(DAY) + offset_ms)
    assert await kinds(service, DAY) == [Mismatch.NOT_IN_BILL]
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
    assert await kinds(service, after) == [Mismatch.NOT_IN_BILL], "in neither bill: told once, by the second"
    desk.bills[after] = [line]
    assert await kinds(service, after) == []


async def test_a_refund_is_looked_for_since_it_was_asked_for(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await refunded_at(world, first_ms(DAY) - 2 * DAY_MS, first_ms(DAY) + DAY_MS // 2)
    for n in range(1, 4):
        desk.bills[DAY - timedelta(days=n)] = []
    assert await kinds(service, DAY) == [Mismatch.REFUND_NOT_IN_BILL]
    desk.bills[DAY - timedelta(days=2)] = [line]
    assert await kinds(service, DAY) == []
    assert DAY - timedelta(days=4) not in desk.asked


async def test_each_bill_beside_is_fetched_once(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    for minute in range(3):
        await paid_at(world, first_ms(DAY) + minute * MINUTE_MS)
    assert await kinds(service, DAY) == [Mismatch.NOT_IN_BILL] * 3
    assert sorted(desk.asked) == [DAY - timedelta(days=1), DAY]


async def test_a_walk_has_pages(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_comparison, "PAGE", 2)
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
    assert await kinds(service, DAY) == [Mismatch.TWICE_IN_BILL, Mismatch.REFUND_TWICE_IN_BILL]


async def test_a_refunds_number_on_two_trades_counts_once_here(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    back = await refunded_at(world, first_ms(DAY) + 1, first_ms(DAY) + DAY_MS // 2)
    paid = BillLine(back.payment_sn, back.trade_no, back.amount_fen)
    desk.bills[DAY] = [paid, back, replace(back, payment_sn="P-of-another", trade_no="T9")]
    result = await service.reconcile(ALIPAY, DAY)
    assert [one.kind for one in result.shown] == [Mismatch.REFUND_TWICE_IN_BILL]
    assert (result.ours.refunds, result.theirs.refunds) == (1, 2)


async def test_the_providers_own_refund_numbers_may_be_those_of_several_trades(
    desk: Desk, service: ReconciliationService
) -> None:
    own = [BillLine(f"P-of-{n}", f"T{n}", 5, True, "1") for n in range(2)]
    desk.bills[DAY] = [*own, own[0]]
    assert await kinds(service, DAY) == [
        *[Mismatch.UNKNOWN_REFUND] * 2,
        Mismatch.REFUND_TWICE_IN_BILL,
    ]


async def test_money_of_an_earlier_day_is_in_the_bill_once_more(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    line = await paid_at(world, first_ms(DAY) - 11 * MINUTE_MS)
    back = await refunded_at(world, first_ms(DAY) - 12 * MINUTE_MS, first_ms(DAY) - 11 * MINUTE_MS)
    desk.bills[DAY - timedelta(days=1)] = [line, BillLine(back.payment_sn, back.trade_no, 1999), back]
    desk.bills[DAY] = [line, back]
    assert await kinds(service, DAY - timedelta(days=1)) == []
    result = await service.reconcile(ALIPAY, DAY)
    assert [one.kind for one in result.shown] == [
        Mismatch.TWICE_IN_BILL,
        Mismatch.REFUND_TWICE_IN_BILL,
    ]
    assert (result.ours.trades, result.theirs.trades) == (0, 1)


async def test_a_refund_that_failed_long_before_is_none_that_came_twice(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    back = await refunded_at(world, first_ms(DAY) - 2 * DAY_MS, first_ms(DAY) - DAY_MS)
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("UPDATE refund SET state = 'failed'")
    desk.bills[DAY] = [back]
    assert await kinds(service, DAY) == [Mismatch.NOT_REFUNDED_HERE]


async def test_the_test_clock_moves_no_bill(world: World, desk: Desk, service: ReconciliationService) -> None:
    await world.clock.advance(10 * 86_400)
    with pytest.raises(InvalidArgument):
        await service.reconcile(ALIPAY, TODAY + timedelta(days=1))
    assert all(day < TODAY for _, day in await service.due())


# ---- money nobody told us of ----


async def test_money_that_nobody_told_us_of_is_asked_for_and_settled_the_usual_way(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "POLL_S", 0.01)
    payment = await attempt(world)
    world.provider.pay(payment.payment_sn)
    line = BillLine(payment.payment_sn, f"T{payment.payment_sn[1:]}", payment.amount_fen)
    desk.bills[DAY] = [line]
    assert await kinds(service, DAY) == [Mismatch.NOT_PAID_HERE]
    order = await world.store.orders.get(payment.order_sn)
    assert order.status is OrderStatus.PENDING, "a reconciliation itself settles nothing"
    service.settle_s = 5.0
    reconciling = asyncio.create_task(service.reconcile(ALIPAY, DAY))
    async with asyncio.timeout(5):
        while not (asked := await world.settlement.query_due()):  # noqa: ASYNC110 - asking is what is tested
            await asyncio.sleep(0.01)
    assert asked == 1
    result = await reconciling
    assert (result.differences, result.settled) == (0, 1)
    assert (await world.store.orders.get(payment.order_sn)).status is OrderStatus.PAID


async def test_a_closed_attempt_that_nobody_asks_about_any_more_is_asked_about_again(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    payment = await attempt(world)
    await world.clock.advance(3600)
    await world.timeout.run_once()
    await world.settlement.query_due()
    assert await world.settlement.query_due() == 0
    world.provider.ledger[payment.payment_sn].state = "absent"
    world.provider.pay(payment.payment_sn)
    desk.bills[DAY] = [BillLine(payment.payment_sn, f"T{payment.payment_sn[1:]}", payment.amount_fen)]
    assert await kinds(service, DAY) == [Mismatch.NOT_PAID_HERE]
    assert await world.settlement.query_due() == 1
    (refund,) = (await world.store.orders.get(payment.order_sn)).refunds.values()
    assert refund.reason == "LATE_PAYMENT"
    assert await kinds(service, DAY) == []


async def test_a_bill_that_lies_moves_no_money(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    payment = await attempt(world)
    desk.bills[DAY] = [BillLine(payment.payment_sn, "T1", payment.amount_fen)]
    assert await kinds(service, DAY) == [Mismatch.NOT_PAID_HERE]
    await world.settlement.query_due()
    assert (await world.store.orders.get(payment.order_sn)).status is OrderStatus.PENDING
