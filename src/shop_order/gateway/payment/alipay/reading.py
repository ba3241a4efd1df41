"""Reading what Alipay writes: charsets, signed answers, and trades whose amounts and times are in bounds.

Bytes are verified as they came, and decoded afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import Trade, TradeState
from shop_order.domain.valueobject.provider import provider_fen, provider_ms, trade_number
from shop_order.gateway.payment import rsa2
from shop_order.pkg.money import BadAmount, fen_of_yuan

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

GMT8 = timezone(timedelta(hours=8))
PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
TIMES = (
    "notify_time", "gmt_create", "gmt_payment", "gmt_refund", "gmt_close", "send_pay_date", "gmt_refund_pay",
)  # fmt: skip
AMOUNTS = (
    "total_amount", "receipt_amount", "invoice_amount", "buyer_pay_amount", "point_amount", "refund_fee",
    "refund_amount",
)  # fmt: skip
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d{1,3})?", re.ASCII)
# GB18030 has every character of GBK and GB2312, and those they have no room for.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}
_IN_HEADER = re.compile(r';\s*charset\s*=\s*"?([^";\s]+)', re.IGNORECASE)
# Its second and fourth bytes may look like a quote's neighbours: backslash, letters, braces and digits.
_GB18030 = re.compile(rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def codec_of(name: str) -> str:
    """Python's codec for what a provider calls its charset. Raises ValueError for one it does not use."""
    if codec := _CODECS.get(name.lower()):
        return codec
    raise ValueError(f"{name[:20]!r} is not a supported charset")


def header_charset(headers: Mapping[str, str]) -> str:
    """What `content-type` names; empty if it names none."""
    found = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    named = _IN_HEADER.search(found)
    return named[1] if named else ""


def outline(content: bytes, codec: str) -> str:
    """The same in ASCII, byte for byte: where something begins and ends in it, it does in `content`."""
    if codec == "utf-8":  # none of its longer characters has an ASCII byte in it
        return _NOT_ASCII.sub(b"x", content).decode("ascii")
    plain = _GB18030.sub(lambda found: b"x" * len(found[0]), content)
    return _NOT_ASCII.sub(b"x", plain).decode("ascii")


def node_of(content: bytes, charset: str, method: str, key: RSAPublicKey) -> dict[str, str]:
    """The fields of the signed answer to `method` that are texts. Raises ValueError, RecursionError."""
    codec = codec_of(charset or "utf-8")  # as we asked for it
    text = outline(content, codec)
    name = f'"{method.replace(".", "_")}_response":'
    start = text.index(name) + len(name)
    _, length = json.JSONDecoder().raw_decode(text[start:])
    signed = content[start : start + length]
    whole: Any = json.loads(text)
    sign = whole.get("sign") if isinstance(whole, dict) else None
    if not isinstance(sign, str):
        raise ValueError("the answer is not signed")
    if not rsa2.verifies(key, signed, sign):
        raise ValueError("the answer's signature is not Alipay's")
    node: Any = json.loads(signed.decode(codec))
    if not isinstance(node, dict):
        raise ValueError("the answer is not an object")
    return {name: value for name, value in node.items() if isinstance(value, str)}


def check(fields: Mapping[str, str]) -> None:
    """Every amount and time in it, also of those that decide nothing. Raises AmountMismatch."""
    for name in AMOUNTS:
        if fields.get(name):
            fen_of(name, fields[name])
    for name in TIMES:
        time_of(name, fields.get(name, ""))


def trade_of(fields: Mapping[str, str], *, paid_at: str) -> Trade:
    """The trade, `paid_at` being the name of its time. Raises AmountMismatch."""
    check(fields)
    status, trade_no = fields.get("trade_status", ""), fields.get("trade_no", "")
    if status == "TRADE_CLOSED":
        return Trade(TradeState.CLOSED, trade_no)
    if status == "WAIT_BUYER_PAY":
        return Trade(TradeState.WAITING)
    if status not in PAID:
        return Trade(TradeState.UNKNOWN)
    amount_fen = fen_of("total_amount", fields.get("total_amount", ""))
    if not amount_fen:
        raise AmountMismatch("total_amount")
    return Trade(
        TradeState.PAID, trade_number(trade_no), amount_fen, time_of(paid_at, fields.get(paid_at, ""))
    )


def fen_of(name: str, yuan: str) -> int:
    """Exact fen of the provider's yuan. Raises AmountMismatch."""
    try:
        return provider_fen(name, fen_of_yuan(yuan))
    except BadAmount as malformed:
        raise AmountMismatch(name) from malformed


def time_of(name: str, text: str) -> int:
    """Epoch ms of the provider's time, to the second; 0 if it tells none. Raises AmountMismatch."""
    if not text:
        return 0
    try:
        if not (found := _TIME.fullmatch(text)):
            raise ValueError(text[:30])
        moment = datetime.fromisoformat(found[1]).replace(tzinfo=GMT8)
        return provider_ms(name, int(moment.timestamp()) * 1000)
    except (ValueError, OverflowError) as malformed:
        raise AmountMismatch(name) from malformed


def beijing(ms: int) -> str:
    """`yyyy-MM-dd HH:mm:ss` in GMT+8."""
    return datetime.fromtimestamp(ms // 1000, GMT8).strftime("%Y-%m-%d %H:%M:%S")
