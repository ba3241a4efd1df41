"""Alipay's notices: verified as the bytes that were signed, then read, then answered (facts, chapter 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shop_order.domain.errors import (
    AmountMismatch,
    BodyTooLarge,
    DeadlineExceeded,
    Forbidden,
    InvalidArgument,
    OrderServiceError,
    SignatureInvalid,
)
from shop_order.domain.ports import Notice, NoticeReply, NoticeRoute, Trade, TradeState
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment import rsa2
from shop_order.gateway.payment.alipay.reading import (
    AMOUNTS,
    TIMES,
    codec_of,
    fen_of,
    header_charset,
    trade_of,
)

MAX_FIELDS = 100
UNSIGNED = frozenset({"sign", "sign_type"})
# The fields that are read: hidden in another field's value, one would be signed and yet not be read.
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
_MAX_ID = 128  # characters


def notice_of(
    body: bytes, headers: Mapping[str, str], *, key: RSAPublicKey, app_id: str, seller_id: str
) -> Notice:
    """The verified notice.

    Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us, or out of bounds).
    """
    signed = form(body)
    text = rsa2.signed_text(signed, without=UNSIGNED)
    sign = signed.get("sign", b"").decode("ascii", "replace")
    if signed.get("sign_type") != b"RSA2" or not rsa2.verifies(key, text, sign):
        raise SignatureInvalid("notice")
    if ambiguous := hidden_in(signed):
        about = _ABOUT.search(text)  # anywhere in it: the number is only used to ask the provider
        number = about[1].decode() if about else ""
        return Notice(number, Trade(TradeState.UNKNOWN), ambiguous=ambiguous)
    fields = read(signed, headers)
    if not _NUMBER.fullmatch(payment_sn := fields.get("out_trade_no", "")):
        raise AmountMismatch("out_trade_no")
    if fields.get("app_id") != app_id:
        raise AmountMismatch("app_id")
    if fields.get("seller_id") != seller_id:
        raise AmountMismatch("seller_id")
    if len(fields.get("notify_id", "")) > _MAX_ID:
        raise AmountMismatch("notify_id")
    return Notice(payment_sn, trade_of(fields, paid_at="gmt_payment"), is_refund(fields))


def form(body: bytes) -> dict[str, bytes]:
    """The fields of a notice, as the bytes that were signed.

    Raises InvalidArgument for what no provider sends: no form, or a key twice.
    """
    fields: dict[str, bytes] = {}
    for pair in body.split(b"&", MAX_FIELDS - 1):
        key, equals, value = pair.partition(b"=")
        if not (equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value)):
            raise InvalidArgument("body", "not_a_form")
        name = key.decode("ascii")
        if name in fields:
            raise InvalidArgument("body", "duplicate_key")
        fields[name] = unquote_to_bytes(value.replace(b"+", b" "))
    return fields


def hidden_in(signed: Mapping[str, bytes]) -> str:
    """A field's name that stands between `&` and `=` in a value, empty if there is none.

    The signed text can then be split into fields in two ways, and only the provider knows which is meant.
    """
    for value in signed.values():
        if b"&" in value and (found := _HIDDEN.search(value)):
            return found[1].decode("ascii")
    return ""


def read(signed: Mapping[str, bytes], headers: Mapping[str, str]) -> dict[str, str]:
    """The fields that are not empty, in the charset that was signed, else the header's, else UTF-8.

    Empty ones were not signed. Raises InvalidArgument.
    """
    named = signed.get("charset", b"").decode("ascii", "replace")
    try:
        codec = codec_of(named or header_charset(headers) or "utf-8")
        return {name: value.decode(codec) for name, value in signed.items() if value}
    except ValueError as unreadable:
        raise InvalidArgument("charset", "unknown_charset") from unreadable


def is_refund(fields: Mapping[str, str]) -> bool:
    """Whether money went back; the field for it may be there and say zero."""
    if fee := fields.get("refund_fee"):
        return fen_of("refund_fee", fee) > 0
    return bool(fields.get("gmt_refund"))


def reply(error: Exception | None) -> NoticeReply:
    """`success` if it was handled; 2xx also if sending it again would change nothing, 5xx if it would."""
    if error is None:
        return NoticeReply(200, "success")
    return NoticeReply(
        next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500), "failure"
    )


# The first that fits.
_STATUSES: Mapping[type[Exception], int] = {
    AmountMismatch: 200,
    SignatureInvalid: 401,
    Forbidden: 403,
    BodyTooLarge: 413,
    InvalidArgument: 400,
    DeadlineExceeded: 504,
    OrderServiceError: 503,
}
_FORM_SCHEMA = {
    "type": "object",
    "required": ["sign"],
    "additionalProperties": {"type": "string"},
    "properties": {
        "out_trade_no": {"type": "string"},
        "trade_status": {"type": "string"},
        "total_amount": {"type": "string"},
        "sign": {"type": "string"},
    },
}


def _answer(description: str, *bodies: str) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(bodies)}
    return {"description": description, "content": {"text/plain": {"schema": schema}}}


_OURS = "本方故障，请重试 / Ours is broken: send it again"
NOTICE_ROUTE = NoticeRoute(
    PaymentType.ALIPAY,
    reply,
    summary="支付宝异步通知 / Alipay's notice",
    description="由支付宝调用。处理成功时响应体为 `success`，否则支付宝会重发。\n\n"
    "Called by Alipay: RSA2-signed form; anything but the body `success` is sent again.",
    document={
        "requestBody": {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": _FORM_SCHEMA}},
        },
        "responses": {
            "400": _answer("格式错误或字符集不符 / Malformed, a key twice, or another charset", "failure"),
            "401": _answer("签名无效 / Forged", "failure"),
            "403": _answer("地址不在名单内 / From an address that may not", "failure"),
            "413": _answer("过大 / Too large", "failure"),
            "500": _answer(_OURS, "failure"),
            "503": _answer(_OURS, "failure"),
            "504": _answer(_OURS, "failure"),
            "200": _answer(
                "`success` 已处理；`failure` 金额、应用或单号不符，超出范围，或有歧义而改为查询 / "
                "Done; or it does not agree with our payment, is out of bounds, or can be read in two ways",
                "success",
                "failure",
            ),
        },
    },
)
