"""Notices of our own payment gateway: what was signed is what is read."""

from __future__ import annotations

import pytest

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.notice import GatewayNotice, GatewaySecret, notify_payment, pay_callback
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from tests.world.shop import ADDRESS, SECRET, World

BUYER = Actor(Role.USER, 7)


async def test_a_signed_notice_of_no_payment_can_not_be_cut_into_one_of_a_payment(world: World) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    paying = await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))
    payment = paying.result.payment
    fields = {
        "amount_fen": str(payment.amount_fen),
        "order_sn": order.order_sn,
        "payment_sn": payment.payment_sn,
        "payment_type": "1",
        "trade_no": "T1",
    }
    waiting = fields | {"trade_status": "WAIT_BUYER_PAY"}
    sign = GatewaySecret([SECRET]).sign(waiting)
    await world.payments.gateway_notice(pay_callback(waiting, sign=sign, amount=0))

    moved = "T1&trade_status=WAIT_BUYER_PAY"  # the same text is signed, but no status is set
    forged: list[GatewayNotice] = [
        pay_callback(fields | {"trade_no": moved}, sign=sign, amount=0),
        notify_payment(
            order_sn=order.order_sn,
            payment_sn=payment.payment_sn,
            trade_no=moved,
            payment_type=1,
            amount=0,
            amount_fen=payment.amount_fen,
            sign=sign,
        ),
    ]
    for notice in forged:
        with pytest.raises(InvalidArgument):
            await world.payments.gateway_notice(notice)
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.PENDING
