"""Alipay: page and wap payment, query, close, refund, notices (facts: open platform documents, RSA2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from shop_order.domain.bill import BillNotOut, BillUnusable
from shop_order.domain.errors import (
    AmountMismatch,
    ChannelUnavailable,
    DependencyDown,
    InvalidArgument,
    SignatureInvalid,
)
from shop_order.domain.ports import Clock, Notice, Trade
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment import rsa2
from shop_order.pkg.util.money import BadAmount, fen_of_yuan, yuan_of_fen

if TYPE_CHECKING:
    import httpx
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

GMT8 = timezone(timedelta(hours=8))
METHODS = {
    "page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_PAY"),
}
NOT_BUILT = frozenset({"qr"})
MOST_FIELDS = 100
PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
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

    def __init__(self, settings: AlipaySettings, real_clock: Clock, log: Callable[..., None]) -> None:
        self.settings = settings
        self._now = real_clock
        self._log = log
        self._keys: tuple[RSAPrivateKey, RSAPublicKey] | None = None
        self._http: httpx.AsyncClient | None = None

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
            raise ChannelUnavailable(f"alipay {asked}")
        if asked not in METHODS:
            raise InvalidArgument("trade_type", "is none of page, wap")
        self._load_keys()
        return asked

    async def open(
        self,
        *,
        payment_sn: str,
        trade_type: str,
        amount_fen: int,
        subject: str,
        lasts_ms: int,
        return_url: str,
    ) -> str:
        method, product_code = METHODS[trade_type]
        content = {
            "out_trade_no": payment_sn,
            "total_amount": yuan_of_fen(amount_fen),
            "subject": subject,
            "product_code": product_code,
            "time_expire": beijing(self._now() + lasts_ms),
        }
        addresses = {"notify_url": self.settings.notify_url, "return_url": return_url}
        return f"{self.settings.gateway}?{urlencode(self._signed(method, content, addresses))}"

    # ---- asking ----

    async def query(self, payment_sn: str) -> Trade:
        answer = await self._call("alipay.trade.query", {"out_trade_no": payment_sn})
        if answer.get("sub_code") == NOT_EXIST:
            return Trade("absent")
        if answer.get("code") != "10000":
            return Trade("unknown")
        return trade_of(answer, paid_at=answer.get("send_pay_date", ""))

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
        fields = form(body)
        if fields.get("sign_type") != "RSA2" or not fields.get("sign"):
            raise SignatureInvalid("notice")
        text = rsa2.signed_text(fields, without=frozenset({"sign", "sign_type"}))
        if not rsa2.verifies(self._load_keys()[1], text, fields["sign"]):
            raise SignatureInvalid("notice")
        if fields.get("app_id") != self.settings.app_id:
            raise AmountMismatch("app_id")
        if fields.get("seller_id") != self.settings.seller_id:
            raise AmountMismatch("seller_id")
        return Notice(
            payment_sn=fields.get("out_trade_no", ""),
            trade=trade_of(fields, paid_at=fields.get("gmt_payment", "")),
            is_refund=bool(fields.get("refund_fee") or fields.get("gmt_refund")),
            notice_id=fields.get("notify_id", ""),
        )

    # ---- its bills ----

    async def bill_address(self, day: date) -> str:
        """Where the bill of that day lies for 30 s.

        Raises BillNotOut, BillUnusable (it gives us none), DependencyDown, ChannelUnavailable.
        """
        self._load_keys()
        answer = await self._call(BILL, {"bill_type": "trade", "bill_date": day.isoformat()})
        refused, address = str(answer.get("sub_code", "")), answer.get("bill_download_url")
        if refused.upper().endswith(NO_BILL):
            raise BillNotOut(day)
        if answer.get("code") == "10000" and isinstance(address, str):
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
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": beijing(self._now()),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **{key: value for key, value in addresses.items() if value},
        }
        text = rsa2.signed_text(fields, without=frozenset({"sign"}))
        return fields | {"sign": rsa2.sign(self._load_keys()[0], text)}

    async def _call(self, method: str, content: Mapping[str, str]) -> dict[str, Any]:
        """The verified answer of a method about this very trade; empty when there is none to be believed."""
        import httpx

        about = content.get("out_trade_no")
        try:
            async with asyncio.timeout(self.settings.timeout_s()):  # httpx starts anew with each piece
                answer = await self.http().post(self.settings.gateway, data=self._signed(method, content, {}))
            return self._believed(method, answer.text, about)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError, ChannelUnavailable) as failed:
            at = self.settings.gateway
            self._log("alipay_no_answer", gateway=at, method=method, out_trade_no=about, error=repr(failed))
            return {}

    def http(self) -> httpx.AsyncClient:
        """The connections to the provider. They have no deadline of their own, and follow no redirect."""
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113 - each call sets one
        return self._http

    def _believed(self, method: str, text: str, out_trade_no: str | None) -> dict[str, Any]:
        """The answer's node, if the signature covers its very text. Raises ValueError, RecursionError."""
        name = f'"{method.replace(".", "_")}_response":'
        start = text.index(name) + len(name)
        node, length = json.JSONDecoder().raw_decode(text[start:])
        whole = json.loads(text)
        if not (isinstance(whole, dict) and isinstance(whole.get("sign"), str) and isinstance(node, dict)):
            raise ValueError("this is no signed answer")
        if not rsa2.verifies(self._load_keys()[1], text[start : start + length], whole["sign"]):
            raise ValueError("the answer's signature is not Alipay's")
        if node.get("code") == "10000" and node.get("out_trade_no") != out_trade_no:
            raise ValueError("the answer is about another trade")
        return node


def form(body: bytes) -> dict[str, str]:
    """The fields of a notice. Raises InvalidArgument for what no provider sends: no form, or a key twice."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as malformed:
        raise InvalidArgument("body", "is no form") from malformed
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidArgument("body", "has a key twice")
    return fields


def trade_of(fields: Mapping[str, str], *, paid_at: str) -> Trade:
    """What a notice or an answer says of the trade. Raises AmountMismatch if it names no amount."""
    status = fields.get("trade_status", "")
    if status == "TRADE_CLOSED":
        return Trade("closed", trade_no=fields.get("trade_no", ""))
    if status == "WAIT_BUYER_PAY":
        return Trade("waiting")
    if status not in PAID or not fields.get("trade_no"):
        return Trade("unknown")
    return Trade("paid", fields["trade_no"], fen_of(fields.get("total_amount", "")), time_of(paid_at))


def fen_of(yuan: str) -> int:
    """Exact fen of the provider's yuan. Raises AmountMismatch."""
    try:
        return fen_of_yuan(yuan)
    except BadAmount as malformed:
        raise AmountMismatch("total_amount") from malformed


def beijing(ms: int) -> str:
    """`yyyy-MM-dd HH:mm:ss` in GMT+8."""
    return datetime.fromtimestamp(ms // 1000, GMT8).strftime("%Y-%m-%d %H:%M:%S")


def time_of(text: str) -> int:
    """Epoch ms of the provider's time; 0 if it tells none."""
    try:
        return (
            int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=GMT8).astimezone(UTC).timestamp())
            * 1000
        )
    except ValueError:
        return 0
