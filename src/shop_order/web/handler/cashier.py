"""Cashier routes: whoever has the link may pay the order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, PaymentAction, QrCode, Redirect
from shop_order.domain.errors import (
    DeadlineExceeded,
    DependencyDown,
    InvalidArgument,
    OrderNotFound,
    OrderServiceError,
    SignatureInvalid,
    TooMuchContention,
)
from shop_order.domain.ports import Clock, Payer, TradeState
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.service.channels import Channels
from shop_order.service.checkout import Checkout, Stage, stage_of
from shop_order.service.pay import MAX_OPENID
from shop_order.web.auth.cashier_links import PATH, CashierLinks
from shop_order.web.auth.client_address import device_of
from shop_order.web.context import context
from shop_order.web.dto.answers import CashierData
from shop_order.web.dto.fields import EXAMPLE_SN, PAY_TYPES
from shop_order.web.handler.errors import refusal
from shop_order.web.handler.payment import PAY_ERRORS
from shop_order.web.handler.route import operation, success
from shop_order.web.html import Page
from shop_order.web.messages import Language, channel_names, error_text, texts

TAG = "cashier"
_UNPAID = frozenset({TradeState.ABSENT, TradeState.WAITING, TradeState.CLOSED})
_POLL_S = {Stage.PENDING: 10, Stage.CONFIRMING: 2, Stage.OVER: 3, Stage.REFUNDING: 3}
# Errors whose messages are for developers; buyers are asked to try again.
_TRY_AGAIN = frozenset({DeadlineExceeded.code, DependencyDown.code, TooMuchContention.code})
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
_OpenId = Annotated[
    str,
    Query(
        max_length=MAX_OPENID,
        description="买家在支付机构的编号，如微信 openid，由商店的页面附加 / "
        "The buyer's id at the provider, such as WeChat's openid; the shop's page appends it",
    ),
]


@dataclass(frozen=True, slots=True)
class CashierView:
    """The order, the state of its payment, and how it can be paid.

    `provider_state` is None if the provider was not queried. `channels` has the reason why each channel is
    unavailable, or None. URLs are empty if there are none.
    """

    order: Order
    stage: Stage
    provider_state: TradeState | None
    may_pay: bool
    channels: Mapping[PaymentType, OrderServiceError | None]
    now_ms: int
    shop_name: str
    return_url: str
    cancel_url: str

    @property
    def left_s(self) -> int:
        """Seconds left to pay; not positive after the deadline."""
        return (self.order.expire_ms - self.now_ms) // 1000

    @property
    def is_unpaid(self) -> bool:
        """Whether the provider has no payment and the buyer may still pay."""
        return self.provider_state in _UNPAID and self.may_pay

    @property
    def first_channel(self) -> PaymentType | None:
        """The channel that is chosen at first; None if none is available."""
        return next((kind for kind, error in self.channels.items() if error is None), None)

    @property
    def _action(self) -> PaymentAction | None:
        payment = self.order.money.open_payment()
        return payment.action if payment else None

    @property
    def qr_code(self) -> str:
        """The text of the QR code to pay with; empty if there is none."""
        return self._action.text if isinstance(self._action, QrCode) else ""

    @property
    def jsapi_params(self) -> Mapping[str, str] | None:
        """The parameters that the provider's app is called with; None if it is not used."""
        return self._action.values if isinstance(self._action, BridgeParameters) else None

    @property
    def poll_s(self) -> int | None:
        """Seconds until the next refresh; None if the page is final."""
        late = self.order.money.open_payment() or self.provider_state in (
            TradeState.WAITING,
            TradeState.UNKNOWN,
        )
        if self.stage is Stage.CANCELLED and late:
            return _POLL_S[Stage.OVER]  # a late payment may still arrive, and is refunded
        return _POLL_S.get(self.stage)

    @property
    def refresh_s(self) -> int:
        """Seconds until a refresh without scripts; longer where it would reset the buyer's choice."""
        answered = self.provider_state not in (None, TradeState.UNKNOWN)
        return 20 if (self.may_pay and answered) or self.stage is Stage.PENDING else 5

    @property
    def next_url(self) -> str:
        """The shop's page to continue on; `cancel_url` unless the order is paid."""
        unpaid = self.order.status in (OrderStatus.PENDING, OrderStatus.CANCELLED)
        return self.cancel_url if unpaid else self.return_url


class CashierHandler:
    """Routes below /cashier."""

    def __init__(
        self,
        *,
        checkout: Checkout,
        channels: Channels,
        links: CashierLinks,
        clock: Clock,
        shop_name: Callable[[], str],
    ) -> None:
        self._checkout = checkout
        self._channels = channels
        self._links = links
        self._page = Page("cashier", "cashier")
        self._policy = self._page.policy("connect-src 'self'")
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
        return self._html(view=view)

    @operation(
        "POST",
        "/api/v1/cashier/{order_sn}",
        id="payAtCashier",
        tag=TAG,
        summary="在收银台支付 / Pay at the cashier",
        description="打开或复用支付，并跳转到支付机构；扫码支付或在支付机构的应用内支付时返回收银台。\n\n"
        "Opens or reuses a payment attempt, and redirects to the provider, or to the cashier if the buyer "
        "pays with a QR code or inside the provider's app.",
        errors=(SignatureInvalid, *PAY_ERRORS),
        extra=_FORM,
    )
    async def pay(
        self, request: Request, order_sn: _Sn, e: _Expiry = "", s: _Sign = "", openid: _OpenId = ""
    ) -> Response:
        """Redirect to the provider, or back to the cashier if the provider has no page."""
        self._links.check(order_sn, e, s)
        order = await self._checkout.get(order_sn)
        chosen = _chosen(await request.body())
        trade_type = self._channels.cashier_trade_type(chosen, device_of(request.headers))
        payer = Payer(openid, context().client_ip())
        return_url = self._links.of(order)
        payment = await self._checkout.pay(order, chosen, trade_type, payer, return_url=return_url)
        action = payment.action
        return RedirectResponse(action.url if isinstance(action, Redirect) else _link(request), 303)

    async def _view(self, request: Request, order_sn: str) -> CashierView:
        if context().head:
            order, provider_state = await self._checkout.get(order_sn), None
        else:
            # Providers append the attempt's number, by a name of their own, when they send the buyer back.
            back_from = request.query_params.values()
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
        language = context().language
        again = texts()[language].pages["cashier"]["no_answer"]
        message = again if error.code in _TRY_AGAIN else error_text(error, language)
        answer = self._html(plain.status_code, message=message, back=back)
        if "retry-after" in plain.headers:
            answer.headers["Retry-After"] = plain.headers["retry-after"]
        return answer

    def _html(self, status: int = 200, *, view: CashierView | None = None, **data: str) -> Response:
        language, names = context().language, channel_names(context().language)
        emblems = {code: name[0] for code, name in channel_names(Language.ZH).items()}
        page = self._page.html(
            language, view=view, names=names, emblems=emblems, shop_name=self._shop_name(), **data
        )
        return HTMLResponse(page, status, {"Content-Security-Policy": self._policy})


def _link(request: Request) -> str:
    """A relative link to this page without what a provider appended; works under any proxy path."""
    kept = [(name, request.query_params.get(name, "")) for name in ("e", "s", "openid")]
    return "?" + urlencode([(name, value) for name, value in kept if value or name != "openid"])


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
