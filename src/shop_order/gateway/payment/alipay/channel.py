"""The payment channel Alipay: open, query, close, refund, and verify notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shop_order.domain.entity.payment import (
    MAX_PAYMENT_FEN,
    BridgeParameters,
    Payment,
    PaymentAction,
    QrCode,
    Redirect,
)
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, InvalidArgument
from shop_order.domain.ports import (
    Clock,
    Device,
    Notice,
    OpenRequest,
    RefundResult,
    Trade,
    TradeState,
    TradeTypes,
)
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.alipay.bills import AlipayBills
from shop_order.gateway.payment.alipay.gateway import AlipayGateway, AlipaySettings
from shop_order.gateway.payment.alipay.notice import notice_of
from shop_order.gateway.payment.alipay.reading import beijing, trade_of
from shop_order.pkg.money import yuan_of_fen

METHODS = {
    "page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_PAY"),
    "qr": ("alipay.trade.precreate", "FACE_TO_FACE_PAYMENT"),
    "app": ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY"),
}
ORDER_STRING = "orderStr"  # the name of the text that the shop's app passes to Alipay's SDK
MAX_QR = 1024  # characters
MAX_SUBJECT = 256
MAX_RETURN_URL = 256
# Not allowed in a subject; replaced by full-width characters.
SUBJECT_MARKS = str.maketrans("/=&", "／＝＆")
NOT_EXIST = "ACQ.TRADE_NOT_EXIST"
# Refund errors that may pass on a retry; of the others, the first table is about time, and the rest is final.
RETRYABLE = frozenset(
    {
        "ACQ.SYSTEM_ERROR", "AQC.SYSTEM_ERROR", "ACQ.SELLER_BALANCE_NOT_ENOUGH", "ACQ.REFUND_CHARGE_ERROR",
        "ACQ.TRADE_SETTLE_ERROR",
    }
)  # fmt: skip
# Alipay finishes a trade at the end of the contract's refund period (a year, as a rule): no refund after it.
TOO_LATE = frozenset({"ACQ.TRADE_HAS_FINISHED"})


class Alipay:
    """See `domain.ports.PaymentChannel`."""

    payment_type = PaymentType.ALIPAY
    trade_types = TradeTypes(
        ("page", "wap", "qr", "app"),
        at_cashier={Device.PHONE: "wap"},
        not_on=frozenset({Device.WECHAT, Device.WECHAT_DESKTOP}),  # WeChat does not open Alipay's pages
    )
    smallest_fen = 1
    largest_fen = MAX_PAYMENT_FEN

    def __init__(self, settings: AlipaySettings, real_clock: Clock, log: Callable[..., None]) -> None:
        self.settings = settings
        self.seller = settings.seller_id
        self._gateway = AlipayGateway(settings, real_clock, log)
        self._now = real_clock
        self._log = log
        self.bills = AlipayBills(self._gateway)

    async def aclose(self) -> None:
        await self._gateway.http.aclose()

    def available(self) -> bool:
        return self._gateway.available()

    # ---- opening ----

    async def open(self, request: OpenRequest) -> PaymentAction:
        """Open an attempt: `page` and `wap` redirect, `qr` is scanned, `app` is a text for Alipay's SDK."""
        payment, return_url = request.payment, request.return_url
        if len(return_url) > MAX_RETURN_URL:
            raise InvalidArgument("return_url", "too_long", max=MAX_RETURN_URL)
        method, product_code = METHODS[payment.trade_type]
        content = {
            "out_trade_no": payment.payment_sn,
            "total_amount": yuan_of_fen(payment.amount_fen),
            "subject": request.subject.translate(SUBJECT_MARKS)[:MAX_SUBJECT],
            "body": payment.order_sn,
            "product_code": product_code,
            "time_expire": beijing(self._now() + request.lasts_ms),
        }
        if payment.trade_type == "wap" and return_url:
            content["quit_url"] = return_url  # where a buyer goes who leaves without paying
        urls = {"notify_url": self.settings.notify_url}
        match payment.trade_type:
            case "qr":
                return QrCode(await self._qr_code(method, content, urls))
            case "app":
                return BridgeParameters({ORDER_STRING: self._gateway.order_string(method, content, urls)})
        return Redirect(self._gateway.url(method, content, urls | {"return_url": return_url}))

    async def _qr_code(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> str:
        """Ask for a code. A lost one harms nobody: no trade exists before somebody scans it.

        Raises DependencyDown (no answer), ChannelUnavailable (refused).
        """
        answer = await self._gateway.call(method, content, urls)
        code, text = answer.get("code"), answer.get("qr_code", "")
        if code == "10000" and 0 < len(text) <= MAX_QR and text.isprintable():
            return text
        if code in (None, "10000", "20000"):
            raise DependencyDown("payment_provider", self.settings.gateway)
        self._log("alipay_refuses_qr", out_trade_no=content["out_trade_no"], sub_code=answer.get("sub_code"))
        raise ChannelUnavailable("alipay")

    # ---- an open payment, and its refunds ----

    async def query(self, payment_sn: str) -> Trade:
        answer = await self._gateway.call("alipay.trade.query", {"out_trade_no": payment_sn})
        if answer.get("sub_code") == NOT_EXIST:
            return Trade(TradeState.ABSENT)
        if answer.get("code") != "10000":
            return Trade(TradeState.UNKNOWN)
        return trade_of(answer, paid_at="send_pay_date")

    async def close(self, payment_sn: str) -> Trade:
        answer = await self._gateway.call("alipay.trade.close", {"out_trade_no": payment_sn})
        if answer.get("code") == "10000":
            return Trade(TradeState.CLOSED)
        if answer.get("sub_code") == NOT_EXIST:
            return Trade(TradeState.ABSENT)
        return await self.query(payment_sn)  # refused, usually because it has been paid

    async def refund(self, payment: Payment, refund: Refund) -> RefundResult:
        content = {
            "out_trade_no": payment.payment_sn,
            "out_request_no": refund.out_refund_no,
            "refund_amount": yuan_of_fen(refund.amount_fen),
            "refund_reason": refund.reason,
        }
        answer = await self._gateway.call("alipay.trade.refund", content)
        if answer.get("code") == "10000":
            return RefundResult.SUCCEEDED if answer.get("fund_change") == "Y" else RefundResult.PROCESSING
        return refused(answer) if answer.get("code") == "40004" else RefundResult.UNKNOWN

    async def query_refund(self, refund: Refund) -> RefundResult:
        content = {"out_trade_no": refund.payment_sn, "out_request_no": refund.out_refund_no}
        answer = await self._gateway.call("alipay.trade.fastpay.refund.query", content)
        known = answer.get("code") == "10000" and answer.get("out_request_no") == refund.out_refund_no
        # No status means that Alipay has not received the refund, or that it failed.
        succeeded = known and answer.get("refund_status") == "REFUND_SUCCESS"
        return RefundResult.SUCCEEDED if succeeded else RefundResult.UNKNOWN

    # ---- notices ----

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        ours = self.settings
        keys = self._gateway.keys().theirs.values()
        return notice_of(body, headers, keys=keys, app_id=ours.app_id, seller_id=ours.seller_id)


def refused(answer: Mapping[str, str]) -> RefundResult:
    """Return the result of a refund that Alipay refused by its rules."""
    reason = answer.get("sub_code", "")
    if reason in TOO_LATE:
        return RefundResult.TOO_LATE
    return RefundResult.UNKNOWN if reason.removeprefix("aop.") in RETRYABLE else RefundResult.FAILED
