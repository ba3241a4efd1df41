"""Cashier routes: whoever has the link may pay the order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shop_order.domain.entity.payment import Redirect
from shop_order.domain.errors import InvalidArgument, OrderNotFound, OrderServiceError, SignatureInvalid
from shop_order.domain.ports import Clock, TradeState
from shop_order.domain.status import PaymentType
from shop_order.service.channels import Channels
from shop_order.service.checkout import Checkout, Stage, stage_of
from shop_order.web.auth.cashier_links import PATH, CashierLinks
from shop_order.web.auth.client_address import device_of
from shop_order.web.cashier_page import CashierPage, CashierView
from shop_order.web.dto.answers import CashierData
from shop_order.web.dto.fields import EXAMPLE_SN, PAY_TYPES
from shop_order.web.handler.answer import context, refusal, success
from shop_order.web.handler.payment import PAY_ERRORS
from shop_order.web.handler.route import operation

TAG = "cashier"
_PAGE: dict[str, Any] = {"text/html": {"schema": {"type": "string"}}}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["payment_type"],
                    "properties": {"payment_type": {"type": "string", "enum": list(PAY_TYPES)}},
                }
            }
        },
    },
    "responses": {
        "303": {
            "description": "前往支付机构，或返回收银台 / To the provider, or back to the cashier",
            "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
        }
    },
}

_Sn = Annotated[str, Path(max_length=64, description="订单编号 / Order number", examples=[EXAMPLE_SN])]
_Expiry = Annotated[str, Query(max_length=64, description="链接有效期 / Expiry of the link, in seconds")]
_Sign = Annotated[str, Query(max_length=64, description="链接签名 / Signature of the link")]


class CashierHandler:
    """Routes below /cashier."""

    def __init__(
        self,
        *,
        checkout: Checkout,
        channels: Channels,
        links: CashierLinks,
        page: CashierPage,
        clock: Clock,
        shop_name: Callable[[], str],
    ) -> None:
        self._checkout = checkout
        self._channels = channels
        self._links = links
        self._page = page
        self._now = clock
        self._shop_name = shop_name

    @operation(
        "GET",
        "/api/v1/cashier/{order_sn}",
        id="showCashier",
        tag=TAG,
        summary="收银台 / Show the cashier",
        description="订单应答中的 `pay_url`。浏览器得到页面，`Accept: application/json` 得到数据。"
        "超过支付时间后仍显示支付进展；有未完成的支付时会立即查询支付机构。\n\n"
        "The `pay_url` of an order: a page for browsers, data for `Accept: application/json`. It shows the "
        "state of the payment, even after the deadline; the provider of an open attempt is queried at once.",
        data=CashierData,
        errors=(SignatureInvalid, OrderNotFound),
        extra={"responses": {"200": {"content": _PAGE}}},
    )
    async def show(self, request: Request, order_sn: _Sn, e: _Expiry = "", s: _Sign = "") -> Response:
        """Show the channels, or the state of the payment."""
        self._links.check(order_sn, e, s)
        view = await self._view(request, order_sn)
        if _wants_json(request):
            return success(CashierData.of(view, context().language), "成功", "ok")
        return self._html(self._page.order(view, context().language))

    @operation(
        "POST",
        "/api/v1/cashier/{order_sn}",
        id="payAtCashier",
        tag=TAG,
        summary="在收银台支付 / Pay at the cashier",
        description="打开或复用支付，并跳转到支付机构；扫码支付时返回收银台，由其显示二维码。\n\n"
        "Opens or reuses a payment attempt, and redirects to the provider, or to the cashier if the buyer "
        "pays with a QR code.",
        errors=(SignatureInvalid, *PAY_ERRORS),
        extra=_FORM,
    )
    async def pay(self, request: Request, order_sn: _Sn, e: _Expiry = "", s: _Sign = "") -> Response:
        """Redirect to the provider, or back to the cashier if the provider has no page."""
        self._links.check(order_sn, e, s)
        order = await self._checkout.get(order_sn)
        chosen = _chosen(await request.body())
        trade_type = self._channels.cashier_trade_type(chosen, device_of(request.headers))
        payment = await self._checkout.pay(order, chosen, trade_type, return_url=self._links.of(order))
        action = payment.action
        return RedirectResponse(action.url if isinstance(action, Redirect) else _link(request), 303)

    async def _view(self, request: Request, order_sn: str) -> CashierView:
        if context().head:
            order, provider_state = await self._checkout.get(order_sn), None
        else:
            # Providers append the attempt's number when they send the buyer back.
            back_from = request.query_params.get("out_trade_no", "")
            order, provider_state = await self._checkout.refresh(order_sn, back_from=back_from)
        now_ms = self._now()
        stage = stage_of(order, now_ms)
        if stage is Stage.PENDING and provider_state is TradeState.UNKNOWN:
            stage = Stage.CONFIRMING  # the attempt was closed, but may have been paid
        return_url, cancel_url = self._checkout.pages(order)
        return CashierView(
            order,
            stage,
            provider_state,
            order.may_pay(now_ms),
            self._channels.offers(order),
            now_ms,
            self._shop_name(),
            return_url,
            cancel_url,
        )

    def page_of(self, request: Request, error: OrderServiceError) -> Response | None:
        """The cashier's error page for browsers; None for other routes and for programs."""
        if not (request.url.path.startswith(PATH) and "text/html" in request.headers.get("accept", "")):
            return None
        plain = refusal(error)
        if isinstance(error, InvalidArgument) and error.field in ("order_sn", "e", "s"):
            error = SignatureInvalid("cashier_link")
        back = "" if isinstance(error, SignatureInvalid | OrderNotFound) else _link(request)
        page = self._page.refusal(error, context().language, back=back, shop_name=self._shop_name())
        answer = self._html(page, plain.status_code)
        if "retry-after" in plain.headers:
            answer.headers["Retry-After"] = plain.headers["retry-after"]
        return answer

    def _html(self, page: str, status: int = 200) -> Response:
        return HTMLResponse(page, status, {"Content-Security-Policy": self._page.policy})


def _link(request: Request) -> str:
    """A relative link to this page without what a provider appended; works under any proxy path."""
    return "?" + urlencode({name: request.query_params.get(name, "") for name in ("e", "s")})


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def _chosen(body: bytes) -> PaymentType:
    try:
        chosen = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)["payment_type"]
    except (ValueError, KeyError):
        raise InvalidArgument("payment_type", "required") from None
    if len(chosen) != 1 or chosen[0] not in PAY_TYPES:
        raise InvalidArgument("payment_type", "not_one_of", allowed=",".join(PAY_TYPES))
    return PAY_TYPES[chosen[0]]
