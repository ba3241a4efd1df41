"""Alipay: page and wap payment, query, close, refund, notices (facts: open platform documents, RSA2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from shop_order.domain.bill import BillNotOut, BillUnusable
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, InvalidArgument
from shop_order.domain.ports import Clock, Notice, Trade
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.provider import MOST_FEN
from shop_order.gateway.payment import rsa2
from shop_order.gateway.payment.alipay_answer import MOST_ANSWER, node_of
from shop_order.gateway.payment.alipay_notice import notice_of
from shop_order.gateway.payment.alipay_trade import beijing, trade_of
from shop_order.gateway.payment.charset import header_charset
from shop_order.pkg.money import yuan_of_fen

if TYPE_CHECKING:
    import httpx
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

METHODS = {
    "page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_PAY"),
}
NOT_BUILT = frozenset({"qr", "app"})
MOST_SUBJECT = 256
MOST_RETURN_URL = 256
# Not allowed in a subject; the wide ones look the same.
SUBJECT_MARKS = str.maketrans("/=&", "／＝＆")
CHARSET = "utf-8"
AS_IT_IS = {"accept-encoding": "identity"}  # what unpacks by itself has no bound
NOT_EXIST = "ACQ.TRADE_NOT_EXIST"
BILL = "alipay.data.dataservice.bill.downloadurl.query"
NO_BILL = "BILL_NOT_EXIST"  # not out yet, or nothing moved on that day
# Refusals of a refund that may pass when it is asked again: the others are for good.
TRY_AGAIN = frozenset(
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
    timeout_s: Callable[[], float]  # asked at every call, since the setting may be reloaded


class Alipay:
    """See `domain.ports.PaymentChannel`."""

    payment_type = PaymentType.ALIPAY
    smallest_fen = 1
    largest_fen = MOST_FEN

    def __init__(self, settings: AlipaySettings, real_clock: Clock, log: Callable[..., None]) -> None:
        self.settings = settings
        self._now = real_clock
        self._log = log
        self._keys: tuple[RSAPrivateKey, RSAPublicKey] | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def seller(self) -> str:
        return self.settings.seller_id

    async def aclose(self) -> None:
        """Close the connections to the gateway."""
        if self._http is not None:
            await self._http.aclose()

    def available(self) -> bool:
        """The keys can be read."""
        try:
            self._load_keys()
        except ChannelUnavailable:
            return False
        return True

    # ---- opening ----

    def trade_type(self, asked: str) -> str:
        asked = asked or "page"
        if asked in NOT_BUILT:
            raise ChannelUnavailable("alipay", "trade_type")
        if asked not in METHODS:
            raise InvalidArgument("trade_type", "not_one_of", allowed=",".join(METHODS))
        self._load_keys()
        return asked

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
    ) -> str:
        if len(return_url) > MOST_RETURN_URL:
            raise InvalidArgument("return_url", "too_long", max=MOST_RETURN_URL)
        method, product_code = METHODS[trade_type]
        content = {
            "out_trade_no": payment_sn,
            "total_amount": yuan_of_fen(amount_fen),
            "subject": subject.translate(SUBJECT_MARKS)[:MOST_SUBJECT],
            "body": order_sn,
            "product_code": product_code,
            "time_expire": beijing(self._now() + lasts_ms),
        }
        if trade_type == "wap" and return_url:
            content["quit_url"] = return_url  # who leaves without paying comes back as well
        addresses = {"notify_url": self.settings.notify_url, "return_url": return_url}
        return f"{self.settings.gateway}?{urlencode(self._signed(method, content, addresses))}"

    # ---- asking ----

    async def query(self, payment_sn: str) -> Trade:
        answer = await self._call("alipay.trade.query", {"out_trade_no": payment_sn})
        if answer.get("sub_code") == NOT_EXIST:
            return Trade("absent")
        if answer.get("code") != "10000":
            return Trade("unknown")
        return trade_of(answer, paid_at="send_pay_date")

    async def close(self, payment_sn: str) -> Trade:
        answer = await self._call("alipay.trade.close", {"out_trade_no": payment_sn})
        if answer.get("code") == "10000":
            return Trade("closed")
        if answer.get("sub_code") == NOT_EXIST:
            return Trade("absent")
        return await self.query(payment_sn)  # refused: most often because it was paid meanwhile

    async def refund(self, *, payment_sn: str, refund_sn: str, amount_fen: int, reason: str) -> str:
        content = {
            "out_trade_no": payment_sn,
            "out_request_no": refund_sn,
            "refund_amount": yuan_of_fen(amount_fen),
            "refund_reason": reason,
        }
        answer = await self._call("alipay.trade.refund", content)
        if answer.get("code") == "10000":
            return (
                "succeeded"
                if answer.get("fund_change") == "Y"
                else await self._refunded(payment_sn, refund_sn)
            )
        if answer.get("code") == "40004" and answer.get("sub_code") not in TRY_AGAIN:
            return "failed"
        return "unknown"

    async def _refunded(self, payment_sn: str, refund_sn: str) -> str:
        content = {"out_trade_no": payment_sn, "out_request_no": refund_sn}
        answer = await self._call("alipay.trade.fastpay.refund.query", content)
        known = answer.get("code") == "10000" and answer.get("out_request_no") == refund_sn
        # Without a status Alipay means: not received, or failed.
        return "succeeded" if known and answer.get("refund_status") == "REFUND_SUCCESS" else "unknown"

    # ---- being told ----

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        ours = self.settings
        key = self._load_keys()[1]
        return notice_of(body, headers, key=key, app_id=ours.app_id, seller_id=ours.seller_id)

    # ---- its bills ----

    async def bill_address(self, day: date) -> str:
        """Where the bill of that day lies for 30 s.

        Raises BillNotOut, BillUnusable (it gives us none), DependencyDown, ChannelUnavailable.
        """
        self._load_keys()
        answer = await self._call(BILL, {"bill_type": "trade", "bill_date": day.isoformat()})
        refused, address = answer.get("sub_code", ""), answer.get("bill_download_url", "")
        if refused.upper().endswith(NO_BILL):
            raise BillNotOut(day)
        if answer.get("code") == "10000" and address:
            return address
        if answer.get("code") in (None, "20000"):
            raise DependencyDown("alipay", self.settings.gateway)
        raise BillUnusable(f"alipay gives no bill of {day}: {refused or answer.get('msg')}")

    # ---- the gateway's protocol ----

    def _load_keys(self) -> tuple[RSAPrivateKey, RSAPublicKey]:
        if self._keys is None:
            try:
                ours = rsa2.private_key(self.settings.app_private_key)
                self._keys = (ours, rsa2.public_key(self.settings.public_key))
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
        return fields | {"sign": rsa2.sign(self._load_keys()[0], text)}

    async def _call(self, method: str, content: Mapping[str, str]) -> dict[str, str]:
        """The verified answer of a method about this very trade; empty when there is none to be believed."""
        import httpx

        about = content.get("out_trade_no")
        try:
            async with asyncio.timeout(self.settings.timeout_s()):  # httpx starts anew with each piece
                answer, charset = await self._asked(self._signed(method, content, {}))
            node = node_of(answer, charset, method, self._load_keys()[1])
            if node.get("code") == "10000" and node.get("out_trade_no") != about:
                raise ValueError("the answer is about another trade")
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError, ChannelUnavailable) as failed:
            at = self.settings.gateway
            self._log("alipay_no_answer", gateway=at, method=method, out_trade_no=about, error=repr(failed))
            return {}
        return node

    async def _asked(self, fields: dict[str, str]) -> tuple[bytes, str]:
        """The gateway's answer as it came, and the charset it names. Raises httpx.HTTPError, ValueError."""
        # The gateway reads the form by the charset that stands in the address, and takes GBK if none does.
        address = f"{self.settings.gateway}?{urlencode({'charset': fields.pop('charset')})}"
        found = bytearray()
        async with self.http().stream("POST", address, data=fields, headers=AS_IT_IS) as answer:
            async for piece in answer.aiter_raw():
                found += piece
                if len(found) > MOST_ANSWER:
                    raise ValueError(f"the answer is larger than {MOST_ANSWER} bytes")
            return bytes(found), header_charset(answer.headers)

    def http(self) -> httpx.AsyncClient:
        """The connections to the provider. They have no deadline of their own, and follow no redirect."""
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113 - each call sets one
        return self._http
