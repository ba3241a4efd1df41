"""Cashier routes: whoever has the link may pay the order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, Redirect
from shop_order.domain.errors import (
    ChannelUnavailable,
    DeadlineExceeded,
    DependencyDown,
    InvalidArgument,
    OrderNotFound,
    OrderServiceError,
    SignatureInvalid,
    TooMuchContention,
)
from shop_order.domain.ports import Clock, Device, Payer, TradeState
from shop_order.domain.status import PaymentType
from shop_order.service.channels import Channels
from shop_order.service.checkout import Checkout, Stage, stage_of
from shop_order.service.pay import MAX_OPENID
from shop_order.web.auth.cashier_links import PATH, CashierLinks, OpenId
from shop_order.web.auth.client_address import device_of
from shop_order.web.context import context
from shop_order.web.dto.fields import EXAMPLE_SN, PAY_TYPES
from shop_order.web.dto.responses import CashierData
from shop_order.web.handler.cashier_view import CashierView
from shop_order.web.handler.errors import refusal
from shop_order.web.handler.payment import PAY_ERRORS
from shop_order.web.handler.route import operation, success
from shop_order.web.html import Page
from shop_order.web.messages import Language, channel_names, error_text, texts

TAG = "cashier"
# The shop's own origin and no more: WeChat's pages for phones want a Referer, and the link is a secret.
_REFERRER = {"Referrer-Policy": "origin"}
# Errors whose messages are for developers; buyers are asked to try again.
_TRY_AGAIN = frozenset({DeadlineExceeded.code, DependencyDown.code, TooMuchContention.code})
_OPENID_NAMES = ("openid", "openid_expires", "openid_sign")
_GO = "go"  # names the channel whose payment continues by itself
_NO_OFFER = ChannelUnavailable("")
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

_Sn = Annotated[str, Path(max_length=64, description="订单号 / Order number", examples=[EXAMPLE_SN])]
_Expiry = Annotated[str, Query(max_length=64, description="链接有效期 / Expiry of the link, in seconds")]
_Sign = Annotated[str, Query(max_length=64, description="链接签名 / Signature of the link")]
_OpenId = Annotated[
    str,
    Query(
        max_length=MAX_OPENID,
        description="买家的微信 openid，由 `PAY__WECHAT__OPENID_URL` 的页面连同有效期和签名附加 / "
        "The buyer's openid at WeChat, which the page of `PAY__WECHAT__OPENID_URL` appends and signs",
    ),
]
_OpenIdExpires = Annotated[
    str, Query(max_length=64, description="openid 的有效期（秒） / Its expiry, in seconds")
]
_OpenIdSign = Annotated[str, Query(max_length=64, description="openid 的签名 / Its signature")]


class CashierHandler:
    """Routes below /cashier."""

    def __init__(
        self,
        *,
        checkout: Checkout,
        channels: Channels,
        links: CashierLinks,
        clock: Clock,
        real_now_s: Callable[[], float],
        shop_name: Callable[[], str],
    ) -> None:
        self._checkout = checkout
        self._channels = channels
        self._links = links
        self._page = Page("cashier", "cashier")
        self._policy = self._page.policy("connect-src 'self'")
        self._now = clock
        self._real_now_s = real_now_s
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
        description="打开或复用支付，并跳转到支付机构；扫码支付或在支付机构的应用内支付时返回收银台；"
        "在微信内且还没有 openid 时，先跳转到商店获取 openid 的页面。\n\n"
        "Opens or reuses a payment attempt, and redirects to the provider, or to the cashier if the buyer "
        "pays with a QR code or inside the provider's app. Inside WeChat, without an openid, it first "
        "redirects to the shop's page that gets one.",
        errors=(SignatureInvalid, *PAY_ERRORS),
        extra=_FORM,
    )
    async def pay(
        self,
        request: Request,
        order_sn: _Sn,
        e: _Expiry = "",
        s: _Sign = "",
        openid: _OpenId = "",
        openid_expires: _OpenIdExpires = "",
        openid_sign: _OpenIdSign = "",
    ) -> Response:
        """Redirect to the provider, or back to the cashier if the provider has no page."""
        self._links.check(order_sn, e, s)
        order = await self._checkout.get(order_sn)
        choice = self._channels.choose_at_cashier(_chosen(await request.body()), device_of(request.headers))
        known = self._links.openid(order_sn, OpenId(openid, openid_expires, openid_sign), self._real_now_s())
        payer = Payer(known, context().client_ip())
        kind, link = choice.channel.payment_type, self._links.of(order)
        page = choice.channel.trade_types.openid_page
        if choice.wants_openid(payer) and page and link:
            return _redirect(_openid_page(page, order_sn, f"{link}&{_GO}={kind.code}"))
        try:
            payment = await self._checkout.pay(order, kind, choice.trade_type, payer, return_url=link)
        except InvalidArgument as refused:  # of the openid or the address, which buyers can't correct
            unavailable = ChannelUnavailable(kind.code)
            unavailable.where = str(refused)
            raise unavailable from refused
        match payment.action:
            case Redirect(url):
                return _redirect(url)
            case BridgeParameters():
                return _redirect(f"{_link(request)}&{_GO}={kind.code}")
        return _redirect(_link(request))

    async def _view(self, request: Request, order_sn: str) -> CashierView:
        if context().head:
            order, provider_state = await self._checkout.get(order_sn), None
        else:
            # Providers append the attempt's number, by a name of their own, when they send the buyer back.
            back_from = request.query_params.values()
            order, provider_state = await self._checkout.refresh(order_sn, back_from=back_from)
        now_ms, device = self._now(), device_of(request.headers)
        stage = stage_of(order, now_ms)
        if stage is Stage.PENDING and provider_state is TradeState.UNKNOWN:
            stage = Stage.CONFIRMING  # the attempt was closed, but may have been paid
        return_url, cancel_url = self._checkout.pages(order)
        channels, balance_fen = await self._offers(order, device, now_ms)
        now_open = order.money.open_payment()
        return CashierView(
            order=order,
            stage=stage,
            provider_state=provider_state,
            may_pay=order.may_pay(now_ms),
            channels=channels,
            now_ms=now_ms,
            shop_name=self._shop_name(),
            return_url=return_url,
            cancel_url=cancel_url,
            device=device,
            fits=now_open is not None and self._channels.is_cashiers(now_open, device),
            balance_fen=balance_fen,
            go=self._goes_on(request, order_sn, channels, device),
        )

    async def _offers(
        self, order: Order, device: Device, now_ms: int
    ) -> tuple[Mapping[PaymentType, OrderServiceError | None], int | None]:
        """The channels, and the buyer's balance if it can be used to pay."""
        offers = self._channels.offers(order, device)
        if context().head or not order.may_pay(now_ms) or offers.get(PaymentType.BALANCE, _NO_OFFER):
            return offers, None
        balance_fen = await self._checkout.balance_fen(order)
        if balance_fen is not None and balance_fen < order.pay_fen:
            offers[PaymentType.BALANCE] = ChannelUnavailable(PaymentType.BALANCE.code, "balance_too_low")
        return offers, balance_fen

    def _goes_on(
        self,
        request: Request,
        order_sn: str,
        channels: Mapping[PaymentType, OrderServiceError | None],
        device: Device,
    ) -> PaymentType | None:
        """The channel that the buyer chose before the shop's page got their openid."""
        query = request.query_params
        given = OpenId(*(query.get(name, "") for name in _OPENID_NAMES))
        kind = PAY_TYPES.get(query.get(_GO, ""))
        if kind is None or channels.get(kind, _NO_OFFER):
            return None
        if not self._channels.choose_at_cashier(kind, device).wants_openid(Payer()):
            return None  # it would pay without a click
        return kind if self._links.openid(order_sn, given, self._real_now_s()) else None

    def page_of(self, request: Request, error: OrderServiceError) -> Response | None:
        """The cashier's error page for browsers; None for other routes and for programs."""
        if not (request.url.path.startswith(PATH) and "text/html" in request.headers.get("accept", "")):
            return None
        plain = refusal(error)
        if isinstance(error, InvalidArgument) and error.field in ("order_sn", "e", "s"):
            error = SignatureInvalid("cashier_link")
        # Without the openid, which may be what was refused: the buyer gets another one.
        back = "" if isinstance(error, SignatureInvalid | OrderNotFound) else _link(request, keep=())
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
        return HTMLResponse(page, status, _REFERRER | {"Content-Security-Policy": self._policy})


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303, _REFERRER)


def _openid_page(page: str, order_sn: str, return_url: str) -> str:
    query = urlencode({"order_sn": order_sn, "return_url": return_url})
    return f"{page}{'&' if '?' in page else '?'}{query}"


def _link(request: Request, keep: Sequence[str] = _OPENID_NAMES) -> str:
    """A relative link to this page without what a provider appended; works under any proxy path."""
    query = request.query_params
    kept = {"e": query.get("e", ""), "s": query.get("s", "")}
    kept |= {name: query[name] for name in keep if query.get(name)}
    return "?" + urlencode(kept)


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
