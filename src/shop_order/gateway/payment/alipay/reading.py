"""What Alipay writes: charsets, RSA2 signatures, and trades with valid amounts and times.

Bytes are verified before they are decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shop_order.domain.entity.payment import provider_fen, provider_ms, trade_number
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import Trade, TradeState
from shop_order.pkg.money import BadAmount, fen_of_yuan
from shop_order.pkg.rsa_sha256 import is_signed_by

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
_CERTIFICATE = re.compile(r"[0-9a-f]{32}")
# GB18030 is a superset of GBK and GB2312.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}
_IN_HEADER = re.compile(r';\s*charset\s*=\s*"?([^";\s]+)', re.IGNORECASE)
# Its second and fourth bytes may equal ASCII characters: backslash, letters, braces and digits.
_GB18030 = re.compile(rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# What Java's Character.isWhitespace accepts: a value of nothing else counts as empty to Alipay.
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)


def is_empty(value: str) -> bool:
    """Whether Alipay leaves a field with this value out of what it signs."""
    return not value.strip(_BLANKS)


def signed_text(fields: Mapping[str, bytes], *, excluded: frozenset[str], charset: str = "utf-8") -> bytes:
    """Return the text that RSA2 signs: `key=value` of the non-empty fields, sorted, joined by `&`.

    The text of a request includes `sign_type`, that of a notice does not. Only blanks are read in `charset`.
    """
    codec = _CODECS.get(charset.lower(), "utf-8")
    return b"&".join(
        b"%b=%b" % (key.encode(), value)
        for key, value in sorted(fields.items())
        if key not in excluded and not is_empty(value.decode(codec, "replace"))
    )


def codec_of(name: str) -> str:
    """Return Python's codec for a charset. Raises ValueError for an unsupported one."""
    if codec := _CODECS.get(name.lower()):
        return codec
    raise ValueError(f"{name[:20]!r} is not a supported charset")


def header_charset(headers: Mapping[str, str]) -> str:
    """Return the charset of `content-type`, empty if there is none."""
    named = _IN_HEADER.search(headers.get("content-type", ""))
    return named[1] if named else ""


def outline(content: bytes, codec: str) -> str:
    """Return the content with `x` for each byte of a non-ASCII character: positions stay the same."""
    if codec == "utf-8":  # its multi-byte characters contain no ASCII bytes
        return _NOT_ASCII.sub(b"x", content).decode("ascii")
    plain = _GB18030.sub(lambda found: b"x" * len(found[0]), content)
    return _NOT_ASCII.sub(b"x", plain).decode("ascii")


class UnknownCertificate(ValueError):
    """The answer is signed with the key of a certificate of this number, which we do not have."""

    def __init__(self, number: str) -> None:
        super().__init__(f"the answer names the certificate {number}")
        self.number = number


def node_of(content: bytes, charset: str, method: str, keys: Mapping[str, RSAPublicKey]) -> dict[str, str]:
    """Return the text fields of the answer to `method`, signed with one of Alipay's keys.

    `keys` by the numbers of their certificates; "" is a key without one.
    Raises UnknownCertificate, ValueError, RecursionError.
    """
    codec = codec_of(charset or "utf-8")  # the charset of our request
    text, signed = _signed_part(content, codec, method)
    whole: Any = json.loads(text)
    sign = whole.get("sign") if isinstance(whole, dict) else None
    if not isinstance(sign, str):
        raise ValueError("the answer is not signed")
    if not any(is_signed_by(key, signed, sign) for key in _keys_for(whole.get("alipay_cert_sn"), keys)):
        raise ValueError("the answer's signature is not Alipay's")
    return _texts(signed.decode(codec))


def unsigned_node_of(content: bytes, charset: str, method: str) -> dict[str, str]:
    """Return the text fields of an answer whose content proves itself. Raises ValueError, RecursionError."""
    codec = codec_of(charset or "utf-8")
    return _texts(_signed_part(content, codec, method)[1].decode(codec))


def _signed_part(content: bytes, codec: str, method: str) -> tuple[str, bytes]:
    """Return the outline of the answer, and the bytes that its signature covers."""
    text = outline(content, codec)
    name = f'"{method.replace(".", "_")}_response":'
    start = text.index(name) + len(name)
    _, length = json.JSONDecoder().raw_decode(text[start:])
    return text, content[start : start + length]


def _keys_for(number: object, keys: Mapping[str, RSAPublicKey]) -> Iterable[RSAPublicKey]:
    if "" in keys or number is None:  # errors of the gateway itself name no certificate
        return keys.values()
    if not isinstance(number, str) or not _CERTIFICATE.fullmatch(number):
        raise ValueError("the answer's certificate has no number")
    if number not in keys:
        raise UnknownCertificate(number)
    return (keys[number],)


def _texts(text: str) -> dict[str, str]:
    node: Any = json.loads(text)
    if not isinstance(node, dict):
        raise ValueError("the answer is not an object")
    return {name: value for name, value in node.items() if isinstance(value, str)}


def check(fields: Mapping[str, str]) -> None:
    """Check every amount and time, including unused ones. Raises AmountMismatch."""
    for name in AMOUNTS:
        if fields.get(name):
            fen_of(name, fields[name])
    for name in TIMES:
        time_of(name, fields.get(name, ""))


def trade_of(fields: Mapping[str, str], *, paid_at: str) -> Trade:
    """Return the trade; `paid_at` names the field of its time. Raises AmountMismatch."""
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
    """Return the fen of an amount in yuan. Raises AmountMismatch."""
    try:
        return provider_fen(name, fen_of_yuan(yuan))
    except BadAmount as malformed:
        raise AmountMismatch(name) from malformed


def time_of(name: str, text: str) -> int:
    """Return epoch ms of a time, to the second; 0 if it is empty. Raises AmountMismatch."""
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
    """Return `yyyy-MM-dd HH:mm:ss` in GMT+8."""
    return datetime.fromtimestamp(ms // 1000, GMT8).strftime("%Y-%m-%d %H:%M:%S")
