"""Paying an order through the API (specification 4.3)."""

from __future__ import annotations

from fastapi.responses import Response

from shop_order.domain.errors import (
    AmountNotPayable,
    ChannelUnavailable,
    IllegalTransition,
    KeyReused,
    NotYourself,
    OrderNotFound,
    PaymentNotFound,
    PayWindowClosed,
    TooMuchContention,
)
from shop_order.service.payment import PaymentService, PayOrder
from shop_order.web.dto.answers import PaymentData
from shop_order.web.dto.fields import IdempotencyKey, OrderSn, Owner
from shop_order.web.dto.requests import PayBody
from shop_order.web.handler.answer import context, success
from shop_order.web.handler.route import operation

TAG = "payments"
PAYING = (
    OrderNotFound,
    IllegalTransition,
    PayWindowClosed,
    ChannelUnavailable,
    AmountNotPayable,
    TooMuchContention,
)


class PaymentHandler:
    """Routes about the payments of an order."""

    def __init__(self, payments: PaymentService) -> None:
        self._payments = payments

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/pay",
        id="payOrder",
        tag=TAG,
        summary="发起支付 / Pay",
        description="打开一次支付；相同渠道与金额的未完成支付会被复用，更换渠道会先关闭之前的支付。"
        "`payment_url` 是支付机构的页面或二维码内容，`jsapi_params` 是调起支付的参数。\n\n"
        "Opens an attempt; an equal open one is used again, a different one is closed first. "
        "`payment_url` is the provider's page or the text of a QR code, `jsapi_params` are the parameters "
        "for the provider's app.",
        data=PaymentData,
        errors=(*PAYING, NotYourself, KeyReused),
    )
    async def pay(self, order_sn: OrderSn, body: PayBody, idempotency_key: IdempotencyKey = "") -> Response:
        """Open an attempt."""
        it = context()
        it.owner(body.user_id)
        command = PayOrder(order_sn, body.payment_type, body.trade_type, body.return_url, key=it.key)
        outcome = await self._payments.pay(it.caller, command)
        it.replayed = outcome.replayed
        return success(PaymentData.of(outcome.result.payment), "支付已发起", "the payment was opened")

    @operation(
        "GET",
        "/api/v1/orders/{order_sn}/payment",
        id="getPayment",
        tag=TAG,
        summary="支付信息 / Its payment",
        description="已支付的一次，否则最近一次。\n\nThe attempt that paid, otherwise the latest.",
        data=PaymentData,
        errors=(OrderNotFound, PaymentNotFound, NotYourself),
    )
    async def info(self, order_sn: OrderSn, user_id: Owner = None) -> Response:
        """The order's payment."""
        it = context()
        found = await self._payments.info(it.caller, order_sn, owner=it.owner(user_id))
        return success(PaymentData.of(found.payment), "成功", "ok")
