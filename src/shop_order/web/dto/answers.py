"""The answers that buyers get: one declaration a field makes both the document and the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from shop_order.domain.entity.order import Order
from shop_order.domain.stage import refunds_fen
from shop_order.pkg.money import yuan_of_fen
from shop_order.service.cart import CartLineView
from shop_order.web.dto.fields import EXAMPLE_SN
from shop_order.web.dto.shape import Answer, computed, fen, given, id_text, shown, timestamp, yuan
from shop_order.web.dto.wire import attempts, jsapi_params, payment_url
from shop_order.web.messages import Language, error_text, status_text

T = TypeVar("T")


class Envelope(BaseModel, Generic[T]):
    """Every success: the HTTP status again, a message for people, and the data."""

    code: int = Field(examples=[200])
    message: str = Field(examples=["成功"])
    data: T


class Failure(BaseModel):
    """Every refusal: `error` is for programs, `message` for people."""

    code: int = Field(description="HTTP 状态码 / The HTTP status", examples=[409])
    message: str = Field(examples=["库存不足"])
    error: str = Field(description="机器可读的原因 / The reason, for programs", examples=["OUT_OF_STOCK"])
    details: dict[str, str | int] = Field(
        description="相关数据，数字为数字 / What it is about; numbers are numbers",
        examples=[{"goods_ids": "111"}],
    )
    request_id: str = Field(examples=["5f0c1e5f8a9b4c0e"])


def _of_goods(attribute: str) -> Callable[[CartLineView], Any]:
    return lambda view: getattr(view.goods, attribute) if view.goods else None


def _goods_price(view: CartLineView) -> str | None:
    return yuan_of_fen(view.goods.price_fen) if view.goods else None


class CartItemData(Answer):
    """A line of the cart with today's goods; name, image and price are null when the goods are gone."""

    id: str = id_text("730000000000000001", source="line.id")
    goods_id: str = id_text("101", source="line.goods")
    nums: int = shown(example=2, source="line.nums")
    checked: bool = shown(source="line.checked")
    goods_name: str | None = shown(example="龙井茶 明前特级 250g", source=_of_goods("name"))
    goods_image: str | None = shown(example="/images/101.svg", source=_of_goods("image"))
    price_amount: str | None = shown("单价，元 / yuan", "168.00", source=_goods_price)
    price_fen: int | None = shown("单价，分 / fen", 16800, source=_of_goods("price_fen"))
    on_sale: bool = shown(source=lambda view: view.goods is not None and view.goods.on_sale)
    stocks: int = shown("可售库存 / How many can be bought now", 200)
    orderable: bool = shown("现在可以下单 / Can be ordered now")


class CartData(Answer):
    """The whole cart."""

    user_id: str = id_text("7", source="user")
    version: int = shown("每次修改加一 / Grows with every change", 3)
    total: int = shown("行数 / Lines", 1, source=lambda view: len(view.lines))
    items: list[CartItemData] = shown(source="lines")
    checked_total_amount: str = yuan("已勾选且可下单的合计", "336.00")
    checked_total_fen: int = fen("已勾选且可下单的合计", 33600)
    checked_freight_amount: str = yuan("其运费，不含部分省份的加价", "8.00")
    checked_freight_fen: int = fen("其运费，不含部分省份的加价", 800)


class AddressData(Answer):
    """Where the order goes."""

    name: str
    phone: str
    province: str
    city: str
    district: str
    detail: str
    post: str


class OrderItemData(Answer):
    """A line of an order, as it was bought."""

    id: str = id_text()
    goods_id: str = id_text("101", source="goods")
    goods_name: str
    goods_image: str
    price_amount: str = yuan("单价")
    price_fen: int = fen("单价")
    nums: int
    total_amount: str = yuan("小计")
    total_fen: int = fen("小计")


class LogisticsData(Answer):
    """The parcel."""

    company: str = shown(example="顺丰速运", source="logistics_company")
    no: str = shown(example="SF1234567890", source="logistics_no")


def _status_text(order: Order, language: Language) -> str:
    return status_text(order.status, language)


def _payment_sn(order: Order) -> str:
    payment = order.shown_payment()
    return payment.payment_sn if payment else ""


class OrderData(Answer):
    """An order. What has not happened yet is null."""

    id: str = id_text("730000000000000001")
    user_id: str = id_text("7", source="user")
    order_sn: str = shown(example=EXAMPLE_SN)
    status: int = shown("1 待支付 2 已支付 3 已发货 4 已完成 5 已取消 / pending … cancelled", 1)
    status_text: str = computed(_status_text, example="待支付")
    pay_type: str | None = shown(example="alipay", source="pay_type.code")
    total_amount: str = yuan("商品合计")
    total_fen: int = fen("商品合计")
    discount_amount: str = yuan("优惠", "0.00")
    discount_fen: int = fen("优惠", 0)
    freight_amount: str = yuan("运费", "0.00")
    freight_fen: int = fen("运费", 0)
    pay_amount: str = yuan("应付")
    pay_fen: int = fen("应付")
    address: AddressData
    note: str
    created_at: str = timestamp("下单时间 / Placed")
    updated_at: str = timestamp("更新时间 / Last change")
    expire_at: str = timestamp("支付截止 / To be paid before")
    paid_at: str | None = timestamp("支付时间 / Paid", source="pay_ms")
    shipped_at: str | None = timestamp("发货时间 / Shipped")
    completed_at: str | None = timestamp("完成时间 / Completed")
    trade_no: str | None = shown("支付渠道流水号 / The provider's number")
    payment_sn: str | None = shown(
        "已付款的支付（含取消后到账的），否则为最近一次 / "
        "The attempt that was paid, also too late, else the latest",
        source=_payment_sn,
    )
    refund_status: int = shown(
        "0 无 1 退款中 2 全额 3 部分，重复付款的退款不计 / "
        "none, open, whole, part; a duplicate payment's refund does not count",
        0,
    )
    cancel_reason: str | None = shown(
        "取消者填写的原因，未填写时为 cancel_code / In the words of who cancelled it, else cancel_code",
        source="why_cancelled",
    )
    cancel_code: str | None = shown("BUYER 买家 ADMIN 管理员 TIMEOUT 超时 / Who cancelled it", "TIMEOUT")
    logistics: LogisticsData | None = shown(source=lambda it: it if it.shipped_ms else None)
    version: int = shown(example=1)
    pay_url: str | None = given("收银台链接，仅待支付 / The cashier, while pending")
    items: list[OrderItemData] = shown("列表中仅前 5 项 / In a list the first 5")
    items_total: int = shown("商品行数 / How many items it has", 1, source=lambda it: len(it.items))


class LogData(Answer):
    """One entry of an order's history."""

    action: str = shown(example="create")
    old_status: int
    new_status: int
    operator: str = shown("user, system, admin", "user")
    operator_id: str = id_text()
    reason: str
    at: str = timestamp("时间 / When", source="at_ms")


class PaymentData(Answer):
    """An attempt to pay."""

    payment_sn: str = shown(example="P" + EXAMPLE_SN)
    order_sn: str = shown(example=EXAMPLE_SN)
    payment_type: str = shown(example="alipay", source="payment_type.code")
    trade_type: str = shown(example="page")
    status: int = shown(
        "1 待支付 2 已支付 3 已退款 4 已关闭 / open, paid, refunded, closed", 1, source="state.wire"
    )
    amount: str = yuan("金额")
    amount_fen: int = fen("金额")
    refunded_amount: str = yuan("已退", "0.00")
    refunded_fen: int = fen("已退", 0)
    payment_url: str | None = shown(
        "支付链接或二维码内容，仅待支付 / A link, or the text of a QR code; while open", source=payment_url
    )
    jsapi_params: dict[str, str] | None = shown(
        "调起支付的参数，仅待支付 / What the provider's app is called with; while open", source=jsapi_params
    )
    trade_no: str | None
    created_at: str = timestamp("创建时间 / Opened")
    paid_at: str | None = timestamp("支付时间 / Paid")
    expire_at: str = timestamp("截止时间 / Open until")


class OrderDetailData(OrderData):
    """An order with its history and payments."""

    return_url: str | None = shown("付款后的页面 / The shop's page once it is paid")
    cancel_url: str | None = shown("未付款时的页面 / The shop's page otherwise")
    logs: list[LogData] = given()
    payments: list[PaymentData] = shown(source=attempts)


class OrderListData(Answer):
    """A page of orders, newest first."""

    items: list[OrderData] = given()
    total: int = shown("总数，最多数到 10000 / Stops counting at 10,000", 1)
    total_is_capped: bool
    page: int = given(example=1)
    page_size: int = given(example=20)
    next_cursor: str | None = given("下一页的游标 / Send it as cursor to go on")


class OrderStatusData(Answer):
    """The few fields a page polls."""

    order_sn: str = shown(example=EXAMPLE_SN)
    status: int = shown(example=1)
    status_text: str = computed(_status_text, example="待支付")
    refund_status: int
    version: int
    updated_at: str = timestamp("更新时间 / Last change")
    expire_at: str = timestamp("支付截止 / To be paid before")


class SubmitTokenData(Answer):
    """A token for one submit, to be sent as Idempotency-Key."""

    token: str = given(example="st_…")
    expires_at: str = timestamp("有效期至 / Valid until", source=lambda expires_ms: expires_ms)


class ChannelData(Answer):
    """A way to pay."""

    payment_type: str = given(example="alipay")
    available: bool = shown(source=lambda why_not: why_not is None)
    reason: str | None = shown(
        "不可用的原因 / Why it is not: CHANNEL_UNAVAILABLE, AMOUNT_NOT_PAYABLE",
        "AMOUNT_NOT_PAYABLE",
        source=lambda why_not: why_not and why_not.code,
    )
    message: str | None = computed(
        lambda why_not, language: why_not and error_text(why_not, language),
        "给买家看的说明 / The same for people",
    )


class CashierData(Answer):
    """What the cashier shows."""

    order_sn: str = shown(example=EXAMPLE_SN, source="order.order_sn")
    status: int = shown(example=1, source="order.status")
    status_text: str = computed(
        lambda seen, language: status_text(seen.order.status, language), example="待支付"
    )
    state: str = shown(
        "付款的进展 / pending, confirming, over, paid, shipped, completed, cancelled, refunding, refunded",
        "pending",
        source="stage.value",
    )
    may_pay: bool = shown("现在能否支付 / Whether POST goes to a provider")
    provider_says: str | None = shown(
        "刚才问到的结果 / What the provider said just now: waiting, absent, paid, closed, unknown",
        source="said",
    )
    qr_code: str | None = shown("待扫描的二维码内容 / The text of the QR code to scan")
    return_url: str | None = shown("付款后的页面 / The shop's page once it is paid")
    cancel_url: str | None = shown("未付款时的页面 / The shop's page otherwise")
    poll_s: int | None = shown("几秒后刷新 / Refresh after so many seconds; null: it is final", 10)
    shop_name: str | None
    freight_amount: str = yuan("其中运费", "0.00", source="order.freight_fen")
    freight_fen: int = fen("其中运费", 0, source="order.freight_fen")
    pay_amount: str = yuan("应付", source="order.pay_fen")
    pay_fen: int = fen("应付", source="order.pay_fen")
    refunding_amount: str = yuan("正在退回", "0.00", source=lambda seen: refunds_fen(seen.order)[0])
    refunding_fen: int = fen("正在退回", 0, source=lambda seen: refunds_fen(seen.order)[0])
    refunded_amount: str = yuan("已退回", "0.00", source=lambda seen: refunds_fen(seen.order)[1])
    refunded_fen: int = fen("已退回", 0, source=lambda seen: refunds_fen(seen.order)[1])
    expire_at: str = timestamp("支付截止 / To be paid before", source="order.expire_ms")
    items: list[OrderItemData] = shown(source="order.items")
    channels: list[ChannelData] = computed(
        lambda seen, language: [
            ChannelData.of(why_not, language, payment_type=kind.code)
            for kind, why_not in seen.channels.items()
        ]
    )
