"""Reads orders and refunds, field by field, as the official documents list them."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from shop_sandbox.payments.calls import is_local_url, order_ref
from shop_sandbox.wechat.errors import Refused, param_error
from shop_sandbox.wechat.fields import Fields, body_fields, parse_time
from shop_sandbox.wechat.keys import APP, APP_IDS, MCH_ID, MINI, OFFICIAL

TRADE_TYPES: Mapping[str, str] = MappingProxyType(
    {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB", "app": "APP"}
)
# Which kinds of app may open which trades.
_ALLOWED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"native": APP_IDS, "jsapi": (OFFICIAL, MINI), "h5": APP_IDS, "app": (APP,)}
)
MAX_FEN = 2**53 - 1
LEAST_EXPIRY_MS = 60_000
TRADE_NO = r"[0-9A-Za-z_\-|*]{6,32}"
REFUND_NO = r"[0-9A-Za-z_\-|*@]{1,64}"
OPEN_ID = r"[0-9A-Za-z_\-]{1,128}"


@dataclass(frozen=True, slots=True)
class Order:
    """An order that a merchant requests; `body` is everything in it, to tell a repeated call from another.

    `expire_ms` is 0 if the merchant gave no limit; `order_ref` is the order number found in its texts, or "".
    """

    out_trade_no: str
    kind: str  # native, jsapi, h5, app
    app_id: str
    description: str
    attach: str
    amount_fen: int
    notify_url: str
    openid: str
    expire_ms: int
    body: str
    order_ref: str


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A refund that a merchant requests, of the trade with one of the two numbers."""

    out_refund_no: str
    transaction_id: str
    out_trade_no: str
    amount_fen: int
    total_fen: int
    reason: str
    notify_url: str
    funds_account: str


def order(kind: str, raw: bytes, now_ms: int) -> Order:
    """The order of POST /v3/pay/transactions/{kind}. Raises Refused."""
    fields = body_fields(raw)
    app_id = fields.text("appid", 32, required=True)
    if fields.text("mchid", 32, required=True) != MCH_ID:
        raise Refused(400, "MCH_NOT_EXISTS", "商户号不存在")
    if app_id not in APP_IDS:
        raise Refused(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配，请检查后再试")
    if app_id not in _ALLOWED[kind]:
        raise param_error("/appid", "不支持该 AppID 的账号类型", app_id)
    description = fields.text("description", 127, required=True)
    out_trade_no = fields.text("out_trade_no", 32, least=6, required=True, pattern=TRADE_NO)
    attach, notify_url = fields.text("attach", 128), _notify_url(fields, required=True)
    expire_ms = _expiry(fields, now_ms)
    amount = fields.inner("amount", required=True)
    assert amount is not None
    amount_fen = amount.number("total", least=1, most=MAX_FEN, required=True)
    amount.text("currency", 16, one_of=("CNY",))
    amount.nothing_else()
    openid = _openid(fields) if kind == "jsapi" else ""
    _scene(fields, kind)
    _rest(fields)
    fields.nothing_else()
    return Order(
        out_trade_no=out_trade_no,
        kind=kind,
        app_id=app_id,
        description=description,
        attach=attach,
        amount_fen=amount_fen or 0,
        notify_url=notify_url,
        openid=openid,
        expire_ms=expire_ms,
        body=json.dumps(json.loads(raw), sort_keys=True, ensure_ascii=False),
        order_ref=order_ref(attach, description),
    )


def refund(raw: bytes) -> RefundRequest:
    """The refund of POST /v3/refund/domestic/refunds. Raises Refused."""
    fields = body_fields(raw)
    transaction_id = fields.text("transaction_id", 32)
    out_trade_no = fields.text("out_trade_no", 32, least=6, pattern=TRADE_NO)
    if not transaction_id and not out_trade_no:
        raise param_error("/transaction_id", "与 out_trade_no 二选一，不能同时为空")
    out_refund_no = fields.text("out_refund_no", 64, required=True, pattern=REFUND_NO)
    reason, notify_url = fields.text("reason", 80), _notify_url(fields, required=False)
    account = fields.text("funds_account", 32, one_of=("AVAILABLE", "UNSETTLED"))
    amount = fields.inner("amount", required=True)
    assert amount is not None
    amount_fen = amount.number("refund", least=1, most=MAX_FEN, required=True)
    total_fen = amount.number("total", least=1, most=MAX_FEN, required=True)
    amount.text("currency", 16, required=True, one_of=("CNY",))
    for source in amount.list_of("from", 10):
        source.text("account", 32, required=True, one_of=("AVAILABLE", "UNAVAILABLE"))
        source.number("amount", least=1, required=True)
        source.nothing_else()
    amount.nothing_else()
    for goods in fields.list_of("goods_detail", 50):
        _texts(goods, {"merchant_goods_id": 32}, required=True)
        _texts(goods, {"wechatpay_goods_id": 32, "goods_name": 256})
        for name in ("unit_price", "refund_amount", "refund_quantity"):
            goods.number(name, required=True)
        goods.nothing_else()
    fields.nothing_else()
    return RefundRequest(
        out_refund_no,
        transaction_id,
        out_trade_no,
        amount_fen or 0,
        total_fen or 0,
        reason,
        notify_url,
        account or "UNSETTLED",
    )


def closing(raw: bytes) -> None:
    """Check the body of a close. Raises Refused."""
    fields = body_fields(raw)
    check_mch_id(fields.text("mchid", 32, required=True))
    fields.nothing_else()


def check_mch_id(mch_id: str, location: str = "body") -> None:
    """Raises Refused for another merchant's number."""
    if mch_id != MCH_ID:
        raise param_error("/mchid", "与请求签名中的商户号不一致", mch_id, location)


def _notify_url(fields: Fields, *, required: bool) -> str:
    url = fields.text("notify_url", 255, required=required)
    # The provider wants https; here http on this machine is allowed, and nothing else.
    if url and (not is_local_url(url) or urlsplit(url).query or urlsplit(url).fragment):
        raise param_error("/notify_url", "须为本机（loopback）的 http 或 https 地址，不能携带参数", url)
    return url


def _expiry(fields: Fields, now_ms: int) -> int:
    text = fields.text("time_expire", 64)
    if not text:
        return 0
    try:
        expire_ms = parse_time(text)
    except ValueError:
        raise param_error("/time_expire", "须为 RFC 3339 格式的时间", text) from None
    if expire_ms < now_ms + LEAST_EXPIRY_MS:
        raise param_error("/time_expire", "须晚于当前时间 1 分钟", text)
    return expire_ms


def _openid(fields: Fields) -> str:
    payer = fields.inner("payer", required=True)
    assert payer is not None
    openid = payer.text("openid", 128, required=True, pattern=OPEN_ID)
    payer.nothing_else()
    return openid


def _scene(fields: Fields, kind: str) -> None:
    scene = fields.inner("scene_info", required=kind == "h5")
    if scene is None:
        return
    address = scene.text("payer_client_ip", 45, required=True)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise param_error("/scene_info/payer_client_ip", "不是合法的 IP 地址", address) from None
    scene.text("device_id", 32)
    store = scene.inner("store_info")
    if store is not None:
        _texts(store, {"id": 32}, required=True)
        _texts(store, {"name": 256, "area_code": 32, "address": 512})
        store.nothing_else()
    if kind == "h5":
        h5_info = scene.inner("h5_info", required=True)
        assert h5_info is not None
        h5_info.text("type", 32, required=True, one_of=("iOS", "Android", "Wap"))
        _texts(h5_info, {"app_name": 64, "app_url": 128, "bundle_id": 128, "package_name": 128})
        h5_info.nothing_else()
    scene.nothing_else()


def _rest(fields: Fields) -> None:
    """The fields that have no effect here."""
    fields.text("goods_tag", 32)
    fields.flag("support_fapiao")
    settle = fields.inner("settle_info")
    if settle is not None:
        settle.flag("profit_sharing")
        settle.nothing_else()
    detail = fields.inner("detail")
    if detail is None:
        return
    detail.number("cost_price")
    detail.text("invoice_id", 32)
    for goods in detail.list_of("goods_detail", 6_000):
        _texts(goods, {"merchant_goods_id": 32}, required=True)
        _texts(goods, {"wechatpay_goods_id": 32, "goods_name": 256})
        goods.number("quantity", least=1, required=True)
        goods.number("unit_price", required=True)
        goods.nothing_else()
    detail.nothing_else()


def _texts(fields: Fields, lengths: Mapping[str, int], *, required: bool = False) -> None:
    for name, most in lengths.items():
        fields.text(name, most, required=required)
