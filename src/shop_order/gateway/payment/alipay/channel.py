"""The calls to Alipay's gateway: open, query, close, refund (facts: open platform documents, RSA2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from shop_order.domain.entity.payment import Redirect
from shop_order.domain.errors import ChannelUnavailable, InvalidArgument
from shop_order.domain.ports import Clock, Notice, RefundResult, Trade, TradeState, TradeTypes
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.provider import MOST_FEN
from shop_order.gateway.payment import rsa2
from shop_order.gateway.payment.alipay.bills import AlipayBills
from shop_order.gateway.payment.alipay.notice import notice_of
from shop_order.gateway.payment.alipay.reading import beijing, header_charset, node_of, trade_of
from shop_order.pkg.key_files import private_key, public_key
from shop_order.pkg.money import yuan_of_fen

if TYPE_CHECKING:
    import httpx
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

METHODS = {
    "page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_PAY"),
}
MAX_SUBJECT = 256
MAX_RETURN_URL = 256
MAX_ANSWER = 256 * 1024  # bytes
# Not allowed in a subject; the wide ones look the same.
SUBJECT_MARKS = str.maketrans("/=&", "／＝＆")
CHARSET = "utf-8"
UNCOMPRESSED = {"accept-encoding": "identity"}  # decompressed content would have no bound
NOT_EXIST = "ACQ.TRADE_NOT_EXIST"
# Refusals of a refund that may pass later; the others are for good.
RETRYABLE = frozenset(
    {"ACQ.SYSTEM_ERROR", "ACQ.SELLER_BALANCE_NOT_ENOUGH", "ACQ.REFUND_CHARGE_ERROR", "ACQ.TRADE_SETTLE_ERROR"}
)


@dataclass(frozen=True, slots=True)
class AlipaySettings:
    """Who we are at Alipay, and where; times in seconds."""

    gateway: str
    app_id: str
    seller_id: str
    app_private_key: Path
    public_key: Path
    notify_url: str
    timeout_s: Callable[[], float]  # called for every request, since the setting may be reloaded


class Alipay:
    """See `domain.ports.PaymentChannel`."""

    payment_type = PaymentType.ALIPAY
    trade_types = TradeTypes(("page", "wap"), unavailable=frozenset({"qr", "app"}), on_phone="wap")
    smallest_fen = 1
    largest_fen = MOST_FEN

    def __init__(self, settings: AlipaySettings, real_clock: Clock, log: Callable[..., None]) -> None:
        self.settings = settings
        self.bills = AlipayBills(self)
        self._now = real_clock
        self._log = log
        self._keys: tuple[RSAPrivateKey, RSAPublicKey] | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def seller(self) -> str:
        return self.settings.seller_id

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def available(self) -> bool:
        try:
            self.load_keys()
        except ChannelUnavailable:
            return False
        return True

    # ---- opening ----

    async def open(
        self,
        *,
        payment_sn: str,
        order_sn: str,
        trade_type: str,
        amount_fen: int,
        subject: str,
        lasts_ms: int,
        return_url: str,
    ) -> Redirect:
        if len(return_url) > MAX_RETURN_URL:
            raise InvalidArgument("return_url", "too_long", max=MAX_RETURN_URL)
        method, product_code = METHODS[trade_type]
        content = {
            "out_trade_no": payment_sn,
            "total_amount": yuan_of_fen(amount_fen),
            "subject": subject.translate(SUBJECT_MARKS)[:MAX_SUBJECT],
            "body": order_sn,
            "product_code": product_code,
            "time_expire": beijing(self._now() + lasts_ms),
        }
        if trade_type == "wap" and return_url:
            content["quit_url"] = return_url  # a buyer who leaves without paying comes back as well
        addresses = {"notify_url": self.settings.notify_url, "return_url": return_url}
        return Redirect(f"{self.settings.gateway}?{urlencode(self._signed(method, content, addresses))}")

    # ---- an open attempt, and its refunds ----

    async def query(self, payment_sn: str) -> Trade:
        answer = await self.call("alipay.trade.query", {"out_trade_no": payment_sn})
        if answer.get("sub_code") == NOT_EXIST:
            return Trade(TradeState.ABSENT)
        if answer.get("code") != "10000":
            return Trade(TradeState.UNKNOWN)
        return trade_of(answer, paid_at="send_pay_date")

    async def close(self, payment_sn: str) -> Trade:
        answer = await self.call("alipay.trade.close", {"out_trade_no": payment_sn})
        if answer.get("code") == "10000":
            return Trade(TradeState.CLOSED)
        if answer.get("sub_code") == NOT_EXIST:
            return Trade(TradeState.ABSENT)
        return await self.query(payment_sn)  # refused: most often because it was paid meanwhile

    async def refund(self, *, payment_sn: str, refund_sn: str, amount_fen: int, reason: str) -> RefundResult:
        content = {
            "out_trade_no": payment_sn,
            "out_request_no": refund_sn,
            "refund_amount": yuan_of_fen(amount_fen),
            "refund_reason": reason,
        }
        answer = await self.call("alipay.trade.refund", content)
        if answer.get("code") == "10000":
            return RefundResult.SUCCEEDED if answer.get("fund_change") == "Y" else RefundResult.PROCESSING
        if answer.get("code") == "40004" and answer.get("sub_code") not in RETRYABLE:
            return RefundResult.FAILED
        return RefundResult.UNKNOWN

    async def query_refund(self, *, payment_sn: str, refund_sn: str) -> RefundResult:
        content = {"out_trade_no": payment_sn, "out_request_no": refund_sn}
        answer = await self.call("alipay.trade.fastpay.refund.query", content)
        known = answer.get("code") == "10000" and answer.get("out_request_no") == refund_sn
        # Without a status Alipay means: not received, or failed.
        succeeded = known and answer.get("refund_status") == "REFUND_SUCCESS"
        return RefundResult.SUCCEEDED if succeeded else RefundResult.UNKNOWN

    # ---- notices ----

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        ours = self.settings
        key = self.load_keys()[1]
        return notice_of(body, headers, key=key, app_id=ours.app_id, seller_id=ours.seller_id)

    # ---- the gateway's protocol ----

    def load_keys(self) -> tuple[RSAPrivateKey, RSAPublicKey]:
        """Our private key and Alipay's public one. Raises ChannelUnavailable."""
        if self._keys is None:
            try:
                ours = private_key(self.settings.app_private_key)
                self._keys = (ours, public_key(self.settings.public_key))
            except (OSError, ValueError) as missing:
                raise ChannelUnavailable("alipay") from missing
        return self._keys

    def _signed(
        self, method: str, content: Mapping[str, str], addresses: Mapping[str, str]
    ) -> dict[str, str]:
        fields = {
            "app_id": self.settings.app_id,
            "method": method,
            "format": "JSON",
            "charset": CHARSET,
            "sign_type": "RSA2",
            "timestamp": beijing(self._now()),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **{key: value for key, value in addresses.items() if value},
        }
        text = rsa2.signed_text({k: v.encode() for k, v in fields.items()}, without=frozenset({"sign"}))
        return fields | {"sign": rsa2.sign(self.load_keys()[0], text)}

    async def call(self, method: str, content: Mapping[str, str]) -> dict[str, str]:
        """The verified answer of a method about this very trade; empty if there is none to be trusted."""
        import httpx

        about = content.get("out_trade_no")
        try:
            async with asyncio.timeout(self.settings.timeout_s()):  # httpx's own starts again with each chunk
                answer, charset = await self._post(self._signed(method, content, {}))
            node = node_of(answer, charset, method, self.load_keys()[1])
            if node.get("code") == "10000" and node.get("out_trade_no") != about:
                raise ValueError("the answer is about another trade")
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError, ChannelUnavailable) as failed:
            at = self.settings.gateway
            self._log("alipay_no_answer", gateway=at, method=method, out_trade_no=about, error=repr(failed))
            return {}
        return node

    async def _post(self, fields: dict[str, str]) -> tuple[bytes, str]:
        """The gateway's answer as it came, and the charset it names. Raises httpx.HTTPError, ValueError."""
        # The gateway reads the form in the charset of the URL's query, and in GBK if that names none.
        address = f"{self.settings.gateway}?{urlencode({'charset': fields.pop('charset')})}"
        found = bytearray()
        async with self.http().stream("POST", address, data=fields, headers=UNCOMPRESSED) as answer:
            async for chunk in answer.aiter_raw():
                found += chunk
                if len(found) > MAX_ANSWER:
                    raise ValueError(f"the answer is larger than {MAX_ANSWER} bytes")
            return bytes(found), header_charset(answer.headers)

    def http(self) -> httpx.AsyncClient:
        """The connections to Alipay. They have no timeout of their own, and follow no redirect."""
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113 - each call sets one
        return self._http
