"""Alipay's notices: verified as the bytes that were signed, and only then read (facts, chapter 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shop_order.domain.errors import AmountMismatch, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import Notice, Trade
from shop_order.gateway.payment import rsa2
from shop_order.gateway.payment.alipay_trade import AMOUNTS, TIMES, fen_of, trade_of
from shop_order.gateway.payment.charset import codec_of, header_charset

MOST_FIELDS = 100
UNSIGNED = frozenset({"sign", "sign_type"})
# What is looked at: hidden in another field's value, one of them would be signed and yet not be read.
READ = frozenset(
    {
        *UNSIGNED, *AMOUNTS, *TIMES, "app_id", "charset", "notify_id", "out_trade_no", "seller_id",
        "trade_no", "trade_status",
    }
)  # fmt: skip
# A key is written as it is, a value with `%` and `+`: whatever could be read in two ways is malformed.
_KEY = re.compile(rb"\w{1,64}", re.ASCII)
_VALUE = re.compile(rb"(?:[!-$'-~]|%[0-9A-Fa-f]{2})*")
_HIDDEN = re.compile(rb"&(" + "|".join(sorted(READ)).encode() + rb")=")
_NUMBER = re.compile(r"\w{1,64}", re.ASCII)  # of ours: Alipay's rule for them
_ABOUT = re.compile(rb"(?:^|&)out_trade_no=(\w{1,64})", re.ASCII)
_MOST_ID = 128  # characters


def notice_of(
    body: bytes, headers: Mapping[str, str], *, key: RSAPublicKey, app_id: str, seller_id: str
) -> Notice:
    """What Alipay tells. Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us, or
    out of bounds)."""
    signed = form(body)
    text = rsa2.signed_text(signed, without=UNSIGNED)
    sign = signed.get("sign", b"").decode("ascii", "replace")
    if signed.get("sign_type") != b"RSA2" or not rsa2.verifies(key, text, sign):
        raise SignatureInvalid("notice")
    if hides := hidden_in(signed):
        about = _ABOUT.search(text)  # wherever it stands: the provider is asked, and nothing else comes of it
        number = about[1].decode() if about else ""
        return Notice(number, Trade("unknown"), is_refund=False, notice_id="", hides=hides)
    fields = read(signed, headers)
    if not _NUMBER.fullmatch(payment_sn := fields.get("out_trade_no", "")):
        raise AmountMismatch("out_trade_no")
    if fields.get("app_id") != app_id:
        raise AmountMismatch("app_id")
    if fields.get("seller_id") != seller_id:
        raise AmountMismatch("seller_id")
    notice_id = fields.get("notify_id", "")
    if len(notice_id) > _MOST_ID:
        raise AmountMismatch("notify_id")
    return Notice(payment_sn, trade_of(fields, paid_at="gmt_payment"), is_refund(fields), notice_id)


def form(body: bytes) -> dict[str, bytes]:
    """The fields of a notice, as the bytes that were signed. Raises InvalidArgument for what no provider
    sends: no form, or a key twice."""
    fields: dict[str, bytes] = {}
    for pair in body.split(b"&", MOST_FIELDS - 1):
        key, equals, value = pair.partition(b"=")
        if not (equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value)):
            raise InvalidArgument("body", "not_a_form")
        name = key.decode("ascii")
        if name in fields:
            raise InvalidArgument("body", "duplicate_key")
        fields[name] = unquote_to_bytes(value.replace(b"+", b" "))
    return fields


def hidden_in(signed: Mapping[str, bytes]) -> str:
    """A field's name that stands with `&` and `=` in a value: the text that was signed can be cut into fields
    in two ways, and only the provider knows which one it meant. Empty if there is none."""
    for value in signed.values():
        if b"&" in value and (found := _HIDDEN.search(value)):
            return found[1].decode("ascii")
    return ""


def read(signed: Mapping[str, bytes], headers: Mapping[str, str]) -> dict[str, str]:
    """The fields that say something, in the charset that was signed, else the header's, else UTF-8.

    Empty ones were not signed, so they mean nothing. Raises InvalidArgument.
    """
    named = signed.get("charset", b"").decode("ascii", "replace")
    try:
        codec = codec_of(named or header_charset(headers) or "utf-8")
        return {name: value.decode(codec) for name, value in signed.items() if value}
    except ValueError as unreadable:
        raise InvalidArgument("charset", "unknown_charset") from unreadable


def is_refund(fields: Mapping[str, str]) -> bool:
    """Whether money went back; a field for it may be there and say that none did."""
    if fee := fields.get("refund_fee"):
        return fen_of("refund_fee", fee) > 0
    return bool(fields.get("gmt_refund"))
