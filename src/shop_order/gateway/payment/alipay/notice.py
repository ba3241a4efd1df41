"""Alipay's notices: verify the signed bytes, read the fields, reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shop_order.domain.errors import AmountMismatch, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import Notice, NoticeReply, NoticeRoute, Trade, TradeState
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.alipay.reading import (
    AMOUNTS,
    TIMES,
    codec_of,
    fen_of,
    header_charset,
    is_empty,
    signed_text,
    trade_of,
)
from shop_order.gateway.payment.base import notice_status
from shop_order.pkg.rsa_sha256 import is_signed_by

MAX_FIELDS = 100
UNSIGNED = frozenset({"sign", "sign_type"})
# The fields that are read; one hidden in another field's value would be signed but not read.
READ = frozenset(
    {
        *UNSIGNED, *AMOUNTS, *TIMES, "app_id", "charset", "notify_id", "out_trade_no", "seller_id",
        "trade_no", "trade_status",
    }
)  # fmt: skip
# A key is literal, a value is URL-encoded; anything ambiguous is malformed.
_KEY = re.compile(rb"\w{1,64}", re.ASCII)
_VALUE = re.compile(rb"(?:[!-$'-~]|%[0-9A-Fa-f]{2})*")
_HIDDEN = re.compile(rb"&(" + "|".join(sorted(READ)).encode() + rb")=")
_NUMBER = re.compile(r"\w{1,64}", re.ASCII)  # our payment numbers, by Alipay's rule
_ABOUT = re.compile(rb"(?:^|&)out_trade_no=(\w{1,64})", re.ASCII)
_MAX_ID = 128  # characters


def notice_of(
    body: bytes, headers: Mapping[str, str], *, keys: Iterable[RSAPublicKey], app_id: str, seller_id: str
) -> Notice:
    """Verify and read a notice, signed with one of Alipay's keys.

    Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us, or out of bounds).
    """
    signed = form(body)
    text = signed_text(signed, excluded=UNSIGNED, charset=charset_of(signed, headers))
    sign = signed.get("sign", b"").decode("ascii", "replace")
    if signed.get("sign_type") != b"RSA2" or not any(is_signed_by(key, text, sign) for key in keys):
        raise SignatureInvalid("notice")
    if ambiguous := hidden_in(signed):
        found = _ABOUT.search(text)  # anywhere in it: it is only used to query the provider
        number = found[1].decode() if found else ""
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
    trade = trade_of(fields, paid_at="gmt_payment")
    if is_refund(fields):
        return Notice(payment_sn, trade, is_refund=True, out_refund_no=fields.get("out_biz_no", "")[:_MAX_ID])
    return Notice(payment_sn, trade)


def form(body: bytes) -> dict[str, bytes]:
    """Return the fields of a notice as the signed bytes.

    Raises InvalidArgument if the body is not a form, or has a duplicate key.
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
    """Return a field name that occurs between `&` and `=` inside a value, else empty.

    The signed text is then ambiguous: it can be split into fields in two ways.
    """
    for value in signed.values():
        if b"&" in value and (found := _HIDDEN.search(value)):
            return found[1].decode("ascii")
    return ""


def charset_of(signed: Mapping[str, bytes], headers: Mapping[str, str]) -> str:
    """Return the name of the signed charset, else the header's, else UTF-8."""
    return signed.get("charset", b"").decode("ascii", "replace") or header_charset(headers) or "utf-8"


def read(signed: Mapping[str, bytes], headers: Mapping[str, str]) -> dict[str, str]:
    """Decode the non-empty fields; empty ones are not signed. Raises InvalidArgument."""
    try:
        codec = codec_of(charset_of(signed, headers))
        fields = {name: value.decode(codec) for name, value in signed.items()}
        return {name: value for name, value in fields.items() if not is_empty(value)}
    except ValueError as unreadable:
        raise InvalidArgument("charset", "unknown_charset") from unreadable


def is_refund(fields: Mapping[str, str]) -> bool:
    """Return whether money was refunded; `refund_fee` may be zero."""
    if fee := fields.get("refund_fee"):
        return fen_of("refund_fee", fee) > 0
    return bool(fields.get("gmt_refund"))


def reply(error: Exception | None) -> NoticeReply:
    """Reply `success` if it was handled, 2xx also if a retry would not help, 5xx if it would."""
    if error is None:
        return NoticeReply(200, "success")
    return NoticeReply(notice_status(error, mismatch=200), "failure")


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


_OURS = "本服务故障，请重发 / Internal error; send it again"
NOTICE_ROUTE = NoticeRoute(
    PaymentType.ALIPAY,
    reply,
    summary="支付宝异步通知 / Alipay's notice",
    description="由支付宝调用。处理成功时响应体为 `success`，否则支付宝会重发。\n\n"
    "Called by Alipay with an RSA2-signed form; Alipay repeats it until the body is `success`.",
    document={
        "requestBody": {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": _FORM_SCHEMA}},
        },
        "responses": {
            "400": _answer(
                "格式错误、字段重复或字符集不支持 / Malformed, a duplicate field, or an unsupported charset",
                "failure",
            ),
            "401": _answer("签名无效 / Invalid signature", "failure"),
            "403": _answer("来源地址不在允许名单内 / Source address not on the allow-list", "failure"),
            "413": _answer("请求体过大 / Body too large", "failure"),
            "500": _answer(_OURS, "failure"),
            "503": _answer(_OURS, "failure"),
            "504": _answer(_OURS, "failure"),
            "200": _answer(
                "`success`：已处理；`failure`：金额、应用或单号不符、超出范围，或有歧义（改为主动查询） / "
                "`success`: handled; `failure`: does not match our payment, out of bounds, or ambiguous",
                "success",
                "failure",
            ),
        },
    },
)
