"""WeChat Pay's notices: verify the signed bytes, decrypt, read the fields, reply."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from shop_order.domain.errors import AmountMismatch, InvalidArgument
from shop_order.domain.ports import Notice, NoticeReply, NoticeRoute, Trade, TradeState
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.base import notice_status
from shop_order.gateway.payment.wechat.reading import Fields, check, fields_of, part, text, trade_of
from shop_order.gateway.payment.wechat.signing import decrypted

# A payment's number is ours, by WeChat's rule; a refund's may be one that somebody chose at WeChat's site.
_PAYMENT_SN = re.compile(r"[\w\-|*]{6,32}", re.ASCII)
_REFUND_SN = re.compile(r"[\w\-|*@]{1,64}", re.ASCII)


def notice_of(body: bytes, *, api_v3_key: bytes, mch_id: str, app_ids: Collection[str]) -> Notice:
    """Read a notice whose signature is valid.

    Raises InvalidArgument (malformed), AmountMismatch (not for us, not decrypted by our key, out of bounds).
    """
    try:
        notice = fields_of(body)
    except ValueError as malformed:
        raise InvalidArgument("body", "invalid_json") from malformed
    try:
        fields = fields_of(decrypted(api_v3_key, part(notice, "resource")))
    except ValueError as foreign:  # WeChat signed it, so it is our APIv3 key that is wrong
        raise AmountMismatch("resource") from foreign
    if text(fields, "mchid") != mch_id:
        raise AmountMismatch("mchid")
    if not _PAYMENT_SN.fullmatch(payment_sn := text(fields, "out_trade_no")):
        raise AmountMismatch("out_trade_no")
    match text(notice, "event_type").partition(".")[0]:
        case "TRANSACTION":
            return _of_payment(payment_sn, fields, app_ids)
        case "REFUND":
            return _of_refund(payment_sn, fields)
    raise AmountMismatch("event_type")


def _of_payment(payment_sn: str, fields: Fields, app_ids: Collection[str]) -> Notice:
    if text(fields, "appid") not in app_ids:
        raise AmountMismatch("appid")
    return Notice(payment_sn, trade_of(fields))


def _of_refund(payment_sn: str, fields: Fields) -> Notice:
    check(fields)
    if not _REFUND_SN.fullmatch(number := text(fields, "out_refund_no")):
        raise AmountMismatch("out_refund_no")
    return Notice(payment_sn, Trade(TradeState.UNKNOWN), is_refund=True, out_refund_no=number)


def reply(error: Exception | None) -> NoticeReply:
    """Reply 204 if it was handled, otherwise 4xx or 5xx: WeChat sends it again."""
    if error is None:
        return NoticeReply(204)
    failed = json.dumps({"code": "FAIL", "message": "失败"}, ensure_ascii=False)
    return NoticeReply(notice_status(error, mismatch=409), failed, "application/json")


_ENVELOPE = {
    "type": "object",
    "required": ["event_type", "resource"],
    "properties": {
        "id": {"type": "string"},
        "event_type": {"type": "string"},
        "resource": {
            "type": "object",
            "required": ["algorithm", "ciphertext", "nonce"],
            "properties": {
                name: {"type": "string"} for name in ("algorithm", "ciphertext", "nonce", "associated_data")
            },
        },
    },
}
_FAILED = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": ["FAIL"]}, "message": {"type": "string"}},
}


def _answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _FAILED}}}


_OURS = "本服务故障，请重发 / Internal error; send it again"
NOTICE_ROUTE = NoticeRoute(
    PaymentType.WECHAT,
    reply,
    summary="微信支付通知 / WeChat Pay's notice",
    description="由微信支付调用，支付与退款共用。处理成功时应答 204 且无内容，否则微信支付会重发。\n\n"
    "Called by WeChat Pay for payments and refunds, signed by the headers `Wechatpay-…` and encrypted; "
    "WeChat Pay repeats it until the answer is 204.",
    document={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ENVELOPE}}},
        "responses": {
            "204": {"description": "已处理 / Handled"},
            "400": _answer("格式错误 / Malformed"),
            "401": _answer("签名无效或已过期 / Invalid or expired signature"),
            "403": _answer("来源地址不在允许名单内 / Source address not on the allow-list"),
            "409": _answer(
                "与我方支付不符、超出范围或无法解密 / "
                "Does not match our payment, out of bounds, or not decrypted by our key"
            ),
            "413": _answer("请求体过大 / Body too large"),
            "500": _answer(_OURS),
            "503": _answer(_OURS),
            "504": _answer(_OURS),
        },
    },
)
