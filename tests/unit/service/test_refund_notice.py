"""News of a refund, which may carry TRADE_SUCCESS: never a payment."""

from __future__ import annotations

from shop_order.domain.status import OrderStatus, PaymentState, PaymentType
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
