"""Parses calls of the gateway as strictly as the provider does: the signature first, then every field."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shop_sandbox.alipay import fields, signing
from shop_sandbox.alipay.certificates import DOWNLOAD
from shop_sandbox.alipay.keys import APP_ID, Keys
from shop_sandbox.payments.calls import CallRefused, is_local_url, order_ref

PAGE_PAY = "alipay.trade.page.pay"
WAP_PAY = "alipay.trade.wap.pay"
APP_PAY = "alipay.trade.app.pay"
PRECREATE = "alipay.trade.precreate"
QUERY = "alipay.trade.query"
CLOSE = "alipay.trade.close"
REFUND = "alipay.trade.refund"
REFUND_QUERY = "alipay.trade.fastpay.refund.query"
BILL = "alipay.data.dataservice.bill.downloadurl.query"
PRODUCT_CODES = {
    PAGE_PAY: "FAST_INSTANT_TRADE_PAY",
    WAP_PAY: "QUICK_WAP_PAY",
    APP_PAY: "QUICK_MSECURITY_PAY",  # Alipay's app gets this call from the shop's app
    PRECREATE: "FACE_TO_FACE_PAYMENT",
}
PAGES = frozenset(PRODUCT_CODES) - {PRECREATE}
METHODS = frozenset({*PRODUCT_CODES, QUERY, CLOSE, REFUND, REFUND_QUERY, BILL, DOWNLOAD})

DEFAULT_EXPIRY_MS = 15 * 24 * 3_600_000
_NUMBER = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_EXPRESS = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Refused(CallRefused):
    """The call is refused with the provider's `code`, `msg`, `sub_code` and `sub_msg`."""

    def __init__(
        self, sub_code: str, sub_msg: str, *, code: str = "40004", msg: str = "Business Failed"
    ) -> None:
        super().__init__(f"{sub_code}: {sub_msg}")
        self.code, self.msg, self.sub_code, self.sub_msg = code, msg, sub_code, sub_msg


@dataclass(frozen=True, slots=True)
class PayRequest:
    """A session that a merchant requests; `order_ref` is the order number found in its texts, or ""."""

    out_trade_no: str
    method: str
    amount_fen: int
    subject: str
    body: str
    passback_params: str
    notify_url: str
    return_url: str
    expire_ms: int
    order_ref: str
    quit_url: str = ""


def invalid(sub_code: str, sub_msg: str) -> Refused:
    """The error for an invalid call (40002)."""
    return Refused(sub_code, sub_msg, code="40002", msg="Invalid Arguments")


def unique_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters as a mapping. Raises Refused for a duplicate."""
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise invalid("isv.invalid-parameter", f"参数重复：{key}")
        found[key] = value
    return found


def verify(call: Mapping[str, str], keys: Keys) -> str:
    """Verify the common parameters and the signature, and return the method. Raises Refused."""
    method = _method(call)
    if call.get("app_id") != APP_ID:
        raise invalid("isv.invalid-app-id", "无效的AppID参数")
    if call.get("sign_type") != "RSA2":
        raise invalid("isv.invalid-signature-type", "无效的签名类型")
    charset = call.get("charset", "")
    try:
        signing.codec(charset)
    except ValueError:
        raise invalid("isv.invalid-charset", "字符集错误") from None
    if not call.get("sign"):
        raise Refused("isv.missing-signature", "缺少签名参数", code="40001", msg="Missing Required Arguments")
    numbers = {name: call.get(name) for name in keys.certificates.merchant_numbers}
    if by_certificates(call) and numbers != keys.certificates.merchant_numbers:
        raise invalid("isv.invalid-cert-sn", "证书序列号错误")
    if not signing.verify(keys.merchant, signing.request_text(call), call["sign"], charset):
        raise invalid("isv.invalid-signature", "验签出错，请检查签名字符串、密钥与字符集")
    if call.get("version") != "1.0":
        raise invalid("isv.invalid-version", "无效的版本")
    if call.get("format", "JSON") not in ("JSON", "json"):
        raise invalid("isv.invalid-format", "无效的数据格式")
    try:
        fields.parse_time(call.get("timestamp"))
    except ValueError:
        raise invalid("isv.invalid-timestamp", "非法的时间戳参数") from None
    return method


def _method(call: Mapping[str, str]) -> str:
    if not (method := call.get("method", "")):
        raise Refused("isv.missing-method", "缺少方法名参数", code="40001", msg="Missing Required Arguments")
    if method not in METHODS:
        raise invalid("isv.invalid-method", "不存在的方法名")
    return method


def by_certificates(call: Mapping[str, str]) -> bool:
    """Whether the merchant calls in certificate mode."""
    return "app_cert_sn" in call or "alipay_root_cert_sn" in call


def biz_content(call: Mapping[str, str]) -> dict[str, Any]:
    """The biz_content of a verified call. Raises Refused."""
    try:
        found = json.loads(call.get("biz_content", ""))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise invalid("isv.invalid-parameter", "biz_content 不是 JSON 对象")
    return found


def pay_request(method: str, call: Mapping[str, str], now_ms: int) -> PayRequest:
    """The session that a verified payment call requests. Raises Refused."""
    biz = biz_content(call)
    optional = PRODUCT_CODES[method] if method in (APP_PAY, PRECREATE) else None
    if biz.get("product_code", optional) != PRODUCT_CODES[method]:
        raise _invalid_parameter(f"product_code 必须为 {PRODUCT_CODES[method]}")
    try:
        amount_fen = fields.parse_yuan(biz.get("total_amount"))
    except fields.AmountOutOfRange:
        raise Refused("ACQ.TOTAL_FEE_EXCEED", "订单总金额不在允许范围内") from None
    except ValueError:
        raise _invalid_parameter("total_amount 必须为两位小数，0.01 至 100000000.00") from None
    subject = _text(biz, "subject", 256)
    if not subject.strip() or not subject.isprintable() or any(mark in subject for mark in "/=&"):
        raise _invalid_parameter("subject 不能为空，不能含 / = & 或不可见字符")
    body, passback = _text(biz, "body", 128), _text(biz, "passback_params", 512)
    notify_url, return_url = call.get("notify_url", ""), call.get("return_url", "")
    check_notify_url(notify_url)
    quit_url = _text(biz, "quit_url", 400)
    if quit_url and method != WAP_PAY:
        raise _invalid_parameter("quit_url 仅用于手机网站支付")
    for name, url, max_length in (("return_url", return_url, 256), ("quit_url", quit_url, 400)):
        if url and (len(url) > max_length or urlsplit(url).scheme not in ("http", "https")):
            raise _invalid_parameter(f"{name} 无效")
    return PayRequest(
        out_trade_no=merchant_number(biz, "out_trade_no"),
        method=method,
        amount_fen=amount_fen,
        subject=subject,
        body=body,
        passback_params=passback,
        notify_url=notify_url,
        return_url=return_url,
        expire_ms=_expiry(biz, now_ms),
        order_ref=order_ref(passback, body, subject, return_url),
        quit_url=quit_url,
    )


def merchant_number(biz: Mapping[str, Any], name: str, *, required: bool = True) -> str:
    """A number of 1 to 64 letters, digits or underscores. Raises Refused."""
    found = biz.get(name, "")
    if found == "" and not required:
        return ""
    if not isinstance(found, str) or not _NUMBER.fullmatch(found):
        raise _invalid_parameter(f"{name} 须为 1 至 64 位字母、数字或下划线")
    return found


def check_notify_url(url: str) -> None:
    """Allow only loopback addresses, so that notices stay on this machine. Raises Refused."""
    if url and not is_local_url(url):
        raise _invalid_parameter("notify_url 须为本机（loopback）的 http 或 https 地址")


def _invalid_parameter(sub_msg: str) -> Refused:
    return Refused("ACQ.INVALID_PARAMETER", f"参数无效：{sub_msg}")


def _text(biz: Mapping[str, Any], name: str, max_length: int) -> str:
    found = biz.get(name, "")
    if not isinstance(found, str) or len(found) > max_length:
        raise _invalid_parameter(f"{name} 最长 {max_length}")
    return found


def _expiry(biz: Mapping[str, Any], now_ms: int) -> int:
    if "time_expire" in biz:
        try:
            expire_ms = fields.parse_time(biz["time_expire"])
        except ValueError:
            raise _invalid_parameter("time_expire 格式为 yyyy-MM-dd HH:mm:ss") from None
        if expire_ms <= now_ms:
            raise _invalid_parameter("time_expire 已过")
        return expire_ms
    express = biz.get("timeout_express", "15d")
    match = _EXPRESS.fullmatch(express) if isinstance(express, str) else None
    span_ms = int(match[1]) * _UNIT_MS[match[2]] if match else 0
    if not 0 < span_ms <= DEFAULT_EXPIRY_MS:
        raise _invalid_parameter("timeout_express 取值 1m 至 15d")
    return now_ms + span_ms
