"""News of a refund, which may carry TRADE_SUCCESS: never a payment."""

from __future__ import annotations

from shop_order.domain.status import OrderStatus, PaymentState, PaymentType, RefundState
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
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
