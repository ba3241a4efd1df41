"""News of a refund, which may carry TRADE_SUCCESS: never a payment."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType, RefundState
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from tests.world.provider import Mode
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)


async def test_a_refunds_notice_pays_no_order_whatever_it_says_of_the_trade(world: World) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment
    assert world.provider.pay(attempt.payment_sn)
    news = world.provider.notice(attempt.payment_sn, is_refund=True)

    assert await world.payments.provider_notice(PaymentType.ALIPAY, news, {}) == ""

    unpaid = await world.store.orders.get(order.order_sn)
    assert unpaid.status is OrderStatus.PENDING
    assert unpaid.payments[attempt.payment_sn].state is PaymentState.PENDING


async def test_a_refunds_notice_lets_the_provider_be_asked_at_once(world: World) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(attempt.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(attempt.payment_sn), {})
    world.provider.mode = "mute"
    assert [await world.settlement.refund_due() for _ in range(2)] == [1, 0], "the next try is later"
    world.provider.mode = "up"
    (refund_sn,) = (await world.store.orders.get(order.order_sn)).refunds
    for number in ("R-of-nobody", refund_sn, refund_sn):
        news = world.provider.notice(attempt.payment_sn, is_refund=True, refund_sn=number)
        await world.payments.provider_notice(PaymentType.ALIPAY, news, {})
    assert [await world.settlement.refund_due() for _ in range(2)] == [1, 0]
    assert (await world.store.orders.get(order.order_sn)).refunds[refund_sn].state is RefundState.SUCCEEDED
    await world.payments.provider_notice(PaymentType.ALIPAY, news, {})
    world.real_ms += 86_400_000
    assert await world.settlement.refund_due() == 0, "it is settled"


async def test_a_notice_of_a_refund_that_failed_lets_the_provider_be_asked(world: World) -> None:
    """WeChat's clerks can pay an abnormal one later."""
    refund = await a_late_one(world, "abnormal")
    assert refund.state is RefundState.FAILED
    account = world.provider.ledger[refund.payment_sn]
    account.ended.clear()
    account.refunds[refund.out_refund_no] = refund.amount_fen
    calls = world.provider.refund_calls
    news = world.provider.notice(refund.payment_sn, is_refund=True, refund_sn=refund.out_refund_no)
    await world.payments.provider_notice(PaymentType.ALIPAY, news, {})
    assert [await world.settlement.refund_due() for _ in range(2)] == [1, 0]
    assert (await world.store.refunds.find(refund.refund_sn)).state is RefundState.SUCCEEDED
    assert world.provider.refund_calls == calls, "it is only asked about"


async def test_a_refund_that_cannot_be_read_holds_up_no_other(world: World) -> None:
    bad, good = await a_late_one(world, "down"), await a_late_one(world, "down")
    with closing(sqlite3.connect(world.path)) as database, database:
        database.execute("UPDATE refund SET items = 'x' WHERE refund_sn = ?", (bad.refund_sn,))
    world.real_ms += 86_400_000
    assert await world.settlement.refund_due() == 2
    assert (await world.store.refunds.find(good.refund_sn)).state is RefundState.SUCCEEDED
    assert [name for name, about in world.alerts if bad.refund_sn in str(about)] == ["row_unreadable"]
    assert await world.settlement.refund_due() == 0, "it is tried again later"


async def a_late_one(world: World, mode: Mode) -> Refund:
    """The refund of a late payment, tried once while the provider is like this."""
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(attempt.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(attempt.payment_sn), {})
    world.provider.mode = mode
    await world.settlement.refund_due()
    world.provider.mode = "up"
    (refund,) = (await world.store.orders.get(order.order_sn)).refunds.values()
    return refund
