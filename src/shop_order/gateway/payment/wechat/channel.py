"""The payment channel WeChat Pay: open, query, close, refund, and verify notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from shop_order.domain.entity.payment import (
    MAX_PAYMENT_FEN,
    BridgeParameters,
    Payment,
    PaymentAction,
    QrCode,
    Redirect,
)
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import AmountMismatch, ChannelUnavailable, DependencyDown, InvalidArgument
from shop_order.domain.ports import (
    Clock,
    Device,
    Notice,
    OpenRequest,
    RefundResult,
    Shipment,
    Trade,
    TradeState,
    TradeTypes,
)
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.wechat.bills import WechatBills
from shop_order.gateway.payment.wechat.gateway import Answer, WechatGateway, WechatSettings
from shop_order.gateway.payment.wechat.mini import MiniProgram, MiniSettings, upload_of
from shop_order.gateway.payment.wechat.notice import notice_of
from shop_order.gateway.payment.wechat.reading import (
    CURRENCY,
    REFUNDS,
    part,
    rfc3339,
    shown,
    text,
    trade_of,
)
from shop_order.gateway.payment.wechat.signing import lines
from shop_order.pkg.rsa_sha256 import sign

MARGIN_MS = 60_000  # for the way to the buyer


@dataclass(frozen=True, slots=True)
class Kind:
    """A trade type: whose app id it has, where it is opened, and the member of the answer that opens it."""

    app: str
    path: str
    opened_by: str
    by_openid: bool = False
    link_ms: int = 2 * 3_600_000 - MARGIN_MS  # of what opens it


KINDS = {
    "native": Kind("official", "native", "code_url"),
    "jsapi": Kind("official", "jsapi", "prepay_id", by_openid=True),
    "h5": Kind("official", "h5", "h5_url", link_ms=5 * 60_000 - MARGIN_MS),
    "mini": Kind("mini", "jsapi", "prepay_id", by_openid=True),
    "app": Kind("app", "app", "prepay_id"),
}
AT_CASHIER = {
    Device.DESKTOP: "native",
    Device.PHONE: "h5",
    Device.WECHAT: "jsapi",
    Device.WECHAT_DESKTOP: "native",
}
TRANSACTIONS, REFUNDS_PATH = "/v3/pay/transactions", "/v3/refund/domestic/refunds"
MAX_DESCRIPTION = 127  # bytes
MAX_REASON = 80  # bytes
MIN_LASTS_MS = 65_000  # WeChat wants a minute, by its own clock
REFUND_LIMIT_MS = 365 * 86_400_000
NOT_EXIST = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"})
OVERDUE = "TRADE_OVERDUE"
# Refusals that may pass on a retry, with the status of any other failure on WeChat's side.
RETRYABLE = frozenset(
    {
        "SYSTEM_ERROR",
        "FREQUENCY_LIMITED",
        "RATELIMIT_EXCEEDED",
        "NOT_ENOUGH",
        "BIZERR_NEED_RETRY",
        "SIGN_ERROR",
    }
)
_UNAVAILABLE = frozenset(
    {"NO_AUTH", "APPID_MCHID_NOT_MATCH", "MCH_NOT_EXISTS", "APPID_NOT_EXIST", "SIGN_ERROR"}
)


class WechatPay:
    """See `domain.ports.PaymentChannel`."""

    payment_type = PaymentType.WECHAT
    smallest_fen = 1
    largest_fen = MAX_PAYMENT_FEN

    def __init__(
        self, settings: WechatSettings, real_clock: Clock, nonce: Callable[[], str], log: Callable[..., None]
    ) -> None:
        self.settings = settings
        self.seller = settings.mch_id
        self._gateway = WechatGateway(settings, real_clock, nonce, log)
        self.bills = WechatBills(self._gateway)
        self._mini = self._mini_program(real_clock, log)
        offered = tuple(name for name, kind in KINDS.items() if kind.app in settings.app_ids)
        link_ms = {name: KINDS[name].link_ms for name in offered}
        app_id = urlencode({"app_id": settings.app_ids.get(KINDS["jsapi"].app, "")})
        openid_url = settings.openid_url
        self.trade_types = TradeTypes(
            offered,
            frozenset(KINDS).difference(offered),
            AT_CASHIER,  # never another one: no browser can pay what was opened for a mini-program or an app
            link_ms,
            by_openid=frozenset(name for name in offered if KINDS[name].by_openid),
            openid_page=openid_url and f"{openid_url}{'&' if '?' in openid_url else '?'}{app_id}",
        )

    def _mini_program(self, real_clock: Clock, log: Callable[..., None]) -> MiniProgram | None:
        ours = self.settings
        if ours.mini_secret is None or "mini" not in ours.app_ids:
            return None
        settings = MiniSettings(
            ours.mini_gateway, ours.app_ids["mini"], ours.mch_id, ours.mini_secret, ours.timeout_s
        )
        return MiniProgram(settings, self._gateway.http, real_clock, log)

    async def aclose(self) -> None:
        await self._gateway.aclose()

    def available(self) -> bool:
        return self._gateway.available()

    # ---- opening ----

    async def open(self, request: OpenRequest) -> PaymentAction:
        payment, payer = request.payment, request.payer
        kind = KINDS[payment.trade_type]
        content: dict[str, Any] = {
            "appid": self.settings.app_ids[kind.app],
            "mchid": self.settings.mch_id,
            # Its bill lists this too, with a comma and a backtick between two values, and quotes none.
            "description": shown(request.subject.replace("`", "'"), MAX_DESCRIPTION) or payment.order_sn,
            "out_trade_no": payment.payment_sn,
            "time_expire": rfc3339(self._gateway.now() + max(request.lasts_ms, MIN_LASTS_MS)),
            "notify_url": self.settings.notify_url,
            "amount": {"total": payment.amount_fen, "currency": CURRENCY},
        }
        if kind.by_openid:
            if not payer.openid:
                raise InvalidArgument("openid", "required")
            content["payer"] = {"openid": payer.openid}
        if kind.path == "h5":
            if not payer.client_ip:
                raise InvalidArgument("client_ip", "required")
            content["scene_info"] = {"payer_client_ip": payer.client_ip, "h5_info": {"type": "Wap"}}
        answer = await self._gateway.call("POST", f"{TRANSACTIONS}/{kind.path}", content)
        if not (opened := answer.ok and text(answer.fields, kind.opened_by)):
            raise self._refused(answer, kind)
        return self._action(payment.trade_type, opened, request.return_url)

    def _refused(self, answer: Answer, kind: Kind) -> Exception:
        if answer.code in _UNAVAILABLE:
            return ChannelUnavailable("wechat")
        about_payer = "openid" in text(answer.fields, "message") + text(
            part(answer.fields, "detail"), "field"
        )
        if kind.by_openid and answer.status == 400 and about_payer:
            return InvalidArgument("openid", "invalid")
        return DependencyDown("payment_provider", self.settings.gateway)

    def _action(self, trade_type: str, opened: str, return_url: str) -> PaymentAction:
        if trade_type == "native":
            return QrCode(opened)
        if trade_type == "h5":
            back = "&" + urlencode({"redirect_url": return_url}) if return_url else ""
            return Redirect(opened + back)
        app_id = self.settings.app_ids[KINDS[trade_type].app]
        timestamp, nonce = str(self._gateway.now() // 1000), self._gateway.nonce()
        if trade_type == "app":
            return BridgeParameters(
                {
                    "appid": app_id,
                    "partnerid": self.settings.mch_id,
                    "prepayid": opened,
                    "package": "Sign=WXPay",
                    "noncestr": nonce,
                    "timestamp": timestamp,
                    "sign": self._signature(app_id, timestamp, nonce, opened),
                }
            )
        package = f"prepay_id={opened}"
        return BridgeParameters(
            {
                "appId": app_id,
                "timeStamp": timestamp,
                "nonceStr": nonce,
                "package": package,
                "signType": "RSA",
                "paySign": self._signature(app_id, timestamp, nonce, package),
            }
        )

    def _signature(self, *values: str) -> str:
        return sign(self._gateway.load_keys().private, lines(*values))

    # ---- an open payment, and its refunds ----

    async def query(self, payment_sn: str) -> Trade:
        answer = await self._trade(payment_sn)
        if answer.code in NOT_EXIST:
            return Trade(TradeState.ABSENT)
        return trade_of(answer.fields) if answer.ok else Trade(TradeState.UNKNOWN)

    async def _trade(self, payment_sn: str) -> Answer:
        """The answer about this attempt. Raises AmountMismatch if it is about another."""
        mch_id = quote(self.settings.mch_id, safe="")
        answer = await self._gateway.call("GET", f"{TRANSACTIONS}/out-trade-no/{payment_sn}?mchid={mch_id}")
        for name, ours in (("mchid", self.settings.mch_id), ("out_trade_no", payment_sn)):
            if answer.ok and text(answer.fields, name) != ours:
                raise AmountMismatch(name)
        return answer

    async def close(self, payment_sn: str) -> Trade:
        content = {"mchid": self.settings.mch_id}
        answer = await self._gateway.call("POST", f"{TRANSACTIONS}/out-trade-no/{payment_sn}/close", content)
        if answer.ok:
            return Trade(TradeState.CLOSED)
        return await self.query(payment_sn)  # refused, usually because it has been paid

    async def refund(self, payment: Payment, refund: Refund) -> RefundResult:
        content: dict[str, Any] = {
            "out_trade_no": payment.payment_sn,
            "out_refund_no": refund.out_refund_no,
            "notify_url": self.settings.notify_url,
            "amount": {
                "refund": refund.amount_fen,
                "total": payment.amount_fen,
                "currency": CURRENCY,
            },
        }
        if reason := shown(refund.reason, MAX_REASON):  # WeChat refuses an empty one
            content["reason"] = reason
        answer = await self._gateway.call("POST", REFUNDS_PATH, content)
        if answer.ok:
            return self._result(answer, refund)
        if answer.is_temporary or answer.code in RETRYABLE:
            return RefundResult.UNKNOWN
        is_late = self._gateway.now() - payment.paid_ms >= REFUND_LIMIT_MS
        return RefundResult.TOO_LATE if is_late or answer.code == OVERDUE else RefundResult.FAILED

    async def query_refund(self, refund: Refund) -> RefundResult:
        answer = await self._gateway.call("GET", f"{REFUNDS_PATH}/{refund.out_refund_no}")
        return self._result(answer, refund)

    def _result(self, answer: Answer, refund: Refund) -> RefundResult:
        """The result that an answer states; UNKNOWN if it is not about this refund."""
        fields = answer.fields
        about = (
            text(fields, "out_refund_no"),
            text(fields, "out_trade_no"),
            part(fields, "amount").get("refund"),
        )
        if not answer.ok or about != (refund.out_refund_no, refund.payment_sn, refund.amount_fen):
            return RefundResult.UNKNOWN
        return REFUNDS.get(text(fields, "status"), RefundResult.UNKNOWN)

    async def tell_shipping(self, payment: Payment, shipment: Shipment) -> bool:
        """See `domain.ports.TellsShipping`. The payer's openid is asked for, so that we need not keep it."""
        if self._mini is None:
            return False
        openid = text(part((await self._trade(payment.payment_sn)).fields, "payer"), "openid")
        if not openid:
            return False
        return await self._mini.upload(upload_of(payment, shipment, self.settings.mch_id, openid))

    # ---- notices ----

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        ours = self.settings
        self._gateway.check_notice(body, headers)
        key = self._gateway.load_keys().api_v3
        return notice_of(body, api_v3_key=key, mch_id=ours.mch_id, app_ids=ours.app_ids.values())
