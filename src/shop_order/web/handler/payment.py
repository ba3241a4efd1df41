"""Payment routes (specification 4.3)."""

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
from shop_order.domain.ports import Payer
from shop_order.service.pay import PayOrder
from shop_order.service.use_cases import UseCases
from shop_order.web.context import context
from shop_order.web.dto.fields import IdempotencyKey, OrderSn, Owner
from shop_order.web.dto.requests import PayBody
from shop_order.web.dto.responses import PaymentData
from shop_order.web.handler.route import operation, success

TAG = "payments"
PAY_ERRORS = (
    OrderNotFound,
    IllegalTransition,
    PayWindowClosed,
    ChannelUnavailable,
    AmountNotPayable,
    TooMuchContention,
)


class PaymentHandler:
    """Routes for the payments of an order."""

    def __init__(self, use_cases: UseCases) -> None:
        self._payments = use_cases.payments

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/pay",
        id="payOrder",
        tag=TAG,
        summary="发起支付 / Pay an order",
        description="发起一次支付；相同渠道与金额的未完成支付会被复用，更换渠道会先关闭之前的支付。"
        "`payment_url` 是支付机构的页面或二维码内容，`jsapi_params` 是调起支付的参数；"
        "支付宝 APP 支付的参数为 `orderStr`，由商店的 App 原样交给支付宝 SDK。\n\n"
        "Opens a payment attempt. An open attempt with the same channel and amount is reused; any other is "
        "closed first. `payment_url` is the provider's page or the text of a QR code; `jsapi_params` are "
        "the parameters for the provider's app. Those of Alipay's `app` are `orderStr`, which the shop's app "
        "passes to Alipay's SDK unchanged.",
        data=PaymentData,
        errors=(*PAY_ERRORS, NotYourself, KeyReused),
    )
    async def pay(self, order_sn: OrderSn, body: PayBody, idempotency_key: IdempotencyKey = "") -> Response:
        """Open a payment attempt, or reuse the open one."""
        ctx = context()
        ctx.owner(body.user_id)
        payer = Payer(body.openid, ctx.client_ip())
        command = PayOrder(order_sn, body.payment_type, body.trade_type, body.return_url, payer, ctx.key)
        outcome = await self._payments.pay(ctx.caller, command)
        ctx.replayed = outcome.replayed
        return success(PaymentData.of(outcome.result.payment), "支付已发起", "payment opened")

    @operation(
        "GET",
        "/api/v1/orders/{order_sn}/payment",
        id="getPayment",
        tag=TAG,
        summary="支付信息 / Get an order's payment",
        description="返回已支付的一次，否则返回最近一次。\n\nThe attempt that paid, otherwise the latest.",
        data=PaymentData,
        errors=(OrderNotFound, PaymentNotFound, NotYourself),
    )
    async def get_payment(self, order_sn: OrderSn, user_id: Owner = None) -> Response:
        """The order's payment."""
        ctx = context()
        found = await self._payments.get_payment(ctx.caller, order_sn, owner=ctx.owner(user_id))
        return success(PaymentData.of(found.payment), "成功", "ok")
