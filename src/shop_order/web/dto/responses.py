"""Responses for buyers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.pkg.money import yuan_of_fen
from shop_order.service.cart import CartLineView
from shop_order.web.dto.fields import (
    EXAMPLE_SN,
    ResponseData,
    argument,
    attempts,
    attribute,
    computed,
    fen,
    id_text,
    jsapi_params,
    payment_url,
    timestamp,
    yuan,
)
from shop_order.web.dto.refunds import RefundData
from shop_order.web.messages import Language, error_text, status_text

T = TypeVar("T")


class Envelope(BaseModel, Generic[T]):
    """The body of every success: HTTP status, a message for people, and the data."""

    code: int = Field(examples=[200])
    message: str = Field(examples=["成功"])
    data: T


class Failure(BaseModel):
    """The body of every error: `error` is for programs, `message` for people."""

    code: int = Field(description="HTTP 状态码 / The HTTP status", examples=[409])
    message: str = Field(examples=["库存不足"])
    error: str = Field(description="机器可读的原因 / The reason, for programs", examples=["OUT_OF_STOCK"])
    details: dict[str, str | int] = Field(
        description="错误的参数 / Parameters of the error",
        examples=[{"goods_ids": "111"}],
    )
    request_id: str = Field(examples=["5f0c1e5f8a9b4c0e"])


def _of_goods(attribute: str) -> Callable[[CartLineView], Any]:
    return lambda view: getattr(view.goods, attribute) if view.goods else None


def _goods_price(view: CartLineView) -> str | None:
    return yuan_of_fen(view.goods.price_fen) if view.goods else None


class CartItemData(ResponseData):
    """A line of the cart with current goods; name, image and price are null if the goods were deleted."""

    id: str = id_text("730000000000000001", source="line.id")
    goods_id: str = id_text("101", source="line.goods")
    nums: int = attribute(example=2, source="line.nums")
    checked: bool = attribute(source="line.checked")
    goods_name: str | None = attribute(example="龙井茶 明前特级 250g", source=_of_goods("name"))
    goods_image: str | None = attribute(example="/images/101.svg", source=_of_goods("image"))
    price_amount: str | None = attribute("单价，元 / yuan", "168.00", source=_goods_price)
    price_fen: int | None = attribute("单价，分 / fen", 16800, source=_of_goods("price_fen"))
    on_sale: bool = attribute(source=lambda view: view.goods is not None and view.goods.on_sale)
    stocks: int = attribute("可售库存 / Available stock", 200)
    orderable: bool = attribute("当前可下单 / Whether it can be ordered now")


class CartData(ResponseData):
    """The whole cart."""

    user_id: str = id_text("7", source="user")
    version: int = attribute("每次修改加一 / Increases with every change", 3)
    total: int = attribute("商品行数 / Number of lines", 1, source=lambda view: len(view.lines))
    items: list[CartItemData] = attribute(source="lines")
    checked_total_amount: str = yuan("已勾选且可下单的合计", "336.00")
    checked_total_fen: int = fen("已勾选且可下单的合计", 33600)
    checked_freight_amount: str = yuan("其运费，不含部分省份的加价", "8.00")
    checked_freight_fen: int = fen("其运费，不含部分省份的加价", 800)


class AddressData(ResponseData):
    """A delivery address."""

    name: str
    phone: str
    province: str
    city: str
    district: str
    detail: str
    post: str


class OrderItemData(ResponseData):
    """A line of an order, with goods and price at the time of purchase."""

    id: str = id_text()
    goods_id: str = id_text("101", source="goods")
    goods_name: str
    goods_image: str
    price_amount: str = yuan("单价")
    price_fen: int = fen("单价")
    nums: int
    total_amount: str = yuan("小计")
    total_fen: int = fen("小计")


class LogisticsData(ResponseData):
    """The parcel."""

    company: str = attribute(example="顺丰速运", source="logistics_company")
    no: str = attribute(example="SF1234567890", source="logistics_no")


def _status_text(order: Order, language: Language) -> str:
    return status_text(order.status, language)


def _payment_sn(order: Order) -> str:
    payment = order.shown_payment()
    return payment.payment_sn if payment else ""


class OrderData(ResponseData):
    """An order. Times and numbers of steps that have not happened yet are null."""

    id: str = id_text("730000000000000001")
    user_id: str = id_text("7", source="user")
    order_sn: str = attribute(example=EXAMPLE_SN)
    status: int = attribute("1 待支付 2 已支付 3 已发货 4 已完成 5 已取消 / pending … cancelled", 1)
    status_text: str = computed(_status_text, example="待支付")
    pay_type: str | None = attribute(example="alipay", source="pay_type.code")
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
    expire_at: str = timestamp("支付截止 / Payment deadline")
    paid_at: str | None = timestamp("支付时间 / Paid", source="pay_ms")
    shipped_at: str | None = timestamp("发货时间 / Shipped")
    completed_at: str | None = timestamp("完成时间 / Completed")
    trade_no: str | None = attribute("支付渠道流水号 / The provider's number")
    payment_sn: str | None = attribute(
        "已付款的支付（含取消后到账的），否则为最近一次 / "
        "The attempt that was paid, even if too late; otherwise the latest",
        source=_payment_sn,
    )
    refund_status: int = attribute(
        "0 无 1 退款中 2 全额 3 部分，不含重复付款的退款 / "
        "none, open, full, partial; refunds of duplicate payments don't count",
        0,
    )
    cancel_reason: str | None = attribute(
        "取消原因，未填写时为 cancel_code / The reason given, otherwise cancel_code",
        source="shown_cancel_reason",
    )
    cancel_code: str | None = attribute("BUYER 买家 ADMIN 管理员 TIMEOUT 超时 / Who cancelled it", "TIMEOUT")
    logistics: LogisticsData | None = attribute(source=lambda it: it if it.shipped_ms else None)
    version: int = attribute(example=1)
    pay_url: str | None = argument("收银台链接，仅待支付 / Link to the cashier, while pending")
    items: list[OrderItemData] = attribute("列表中仅前 5 项 / Lists have only the first 5")
    items_total: int = attribute("商品行数 / Number of items", 1, source=lambda it: len(it.items))


class LogData(ResponseData):
    """An entry of an order's history."""

    action: str = attribute(example="create")
    old_status: int
    new_status: int
    operator: str = attribute("user, system, admin", "user")
    operator_id: str = id_text()
    reason: str
    at: str = timestamp("时间 / When", source="at_ms")


class PaymentData(ResponseData):
    """A payment attempt."""

    payment_sn: str = attribute(example="P" + EXAMPLE_SN)
    order_sn: str = attribute(example=EXAMPLE_SN)
    payment_type: str = attribute(example="alipay", source="payment_type.code")
    trade_type: str = attribute(example="page")
    status: int = attribute(
        "1 待支付 2 已支付 3 已退款 4 已关闭 / open, paid, refunded, closed", 1, source="state.wire"
    )
    amount: str = yuan("金额")
    amount_fen: int = fen("金额")
    refunded_amount: str = yuan("已退", "0.00")
    refunded_fen: int = fen("已退", 0)
    payment_url: str | None = attribute(
        "支付链接或二维码内容，仅待支付 / A link, or the text of a QR code; while open", source=payment_url
    )
    jsapi_params: dict[str, str] | None = attribute(
        "调起支付的参数，仅待支付 / The parameters for the provider's app; while open", source=jsapi_params
    )
    trade_no: str | None
    close_reason: str | None = attribute(
        "渠道拒绝支付的原因，如 INSUFFICIENT_BALANCE / Why the channel refused the payment"
    )
    created_at: str = timestamp("创建时间 / Opened")
    paid_at: str | None = timestamp("支付时间 / Paid")
    expire_at: str = timestamp("截止时间 / Open until")


def _refunds(order: Order) -> list[Refund]:
    return sorted(order.refunds.values(), key=lambda refund: (refund.created_ms, refund.refund_sn))


class OrderDetailData(OrderData):
    """An order with its history, payments and refunds."""

    return_url: str | None = attribute("付款后的页面 / The shop's page after payment")
    cancel_url: str | None = attribute("未付款时的页面 / The shop's page if not paid")
    logs: list[LogData] = argument()
    payments: list[PaymentData] = attribute(source=attempts)
    refunds: list[RefundData] = attribute("最早的在前 / Oldest first", source=_refunds)


class OrderListData(ResponseData):
    """A page of orders, newest first."""

    items: list[OrderData] = argument()
    total: int = attribute("总数，最多计到 10000 / Total, counted up to 10,000", 1)
    total_is_capped: bool
    page: int = argument(example=1)
    page_size: int = argument(example=20)
    next_cursor: str | None = argument("下一页的游标 / Cursor of the next page")


class OrderStatusData(ResponseData):
    """The status of an order, for polling."""

    order_sn: str = attribute(example=EXAMPLE_SN)
    status: int = attribute(example=1)
    status_text: str = computed(_status_text, example="待支付")
    refund_status: int
    version: int
    updated_at: str = timestamp("更新时间 / Last change")
    expire_at: str = timestamp("支付截止 / Payment deadline")


class SubmitTokenData(ResponseData):
    """A token for one form submission, to be sent as Idempotency-Key."""

    token: str = argument(example="st_…")
    expires_at: str = timestamp("有效期至 / Valid until", source=lambda expires_ms: expires_ms)


class ChannelData(ResponseData):
    """A payment channel."""

    payment_type: str = argument(example="alipay")
    available: bool = attribute(source=lambda unavailable: unavailable is None)
    reason: str | None = attribute(
        "不可用的原因 / Why it is unavailable: CHANNEL_UNAVAILABLE, AMOUNT_NOT_PAYABLE",
        "AMOUNT_NOT_PAYABLE",
        source=lambda unavailable: unavailable and unavailable.code,
    )
    message: str | None = computed(
        lambda unavailable, language: unavailable and error_text(unavailable, language),
        "给买家看的说明 / The reason, for people",
    )


class CashierData(ResponseData):
    """The cashier's view of an order."""

    order_sn: str = attribute(example=EXAMPLE_SN, source="order.order_sn")
    status: int = attribute(example=1, source="order.status")
    status_text: str = computed(
        lambda view, language: status_text(view.order.status, language), example="待支付"
    )
    state: str = attribute(
        "支付进展 / pending, confirming, over, paid, shipped, completed, cancelled, refunding, refunded",
        "pending",
        source="stage.value",
    )
    may_pay: bool = attribute("当前能否支付 / Whether it can be paid now")
    provider_says: str | None = attribute(
        "支付机构刚刚返回的结果 / The provider's current state: waiting, absent, paid, closed, unknown",
        source="provider_state",
    )
    qr_code: str | None = attribute("待扫描的二维码内容 / The text of the QR code to scan")
    jsapi_params: dict[str, str] | None = attribute(
        "在支付机构的应用内调起支付的参数 / The parameters for the provider's app"
    )
    return_url: str | None = attribute("付款后的页面 / The shop's page after payment")
    cancel_url: str | None = attribute("未付款时的页面 / The shop's page if not paid")
    poll_s: int | None = attribute(
        "几秒后刷新；null 表示不再变化 / Seconds until the next refresh; null if final", 10
    )
    shop_name: str | None
    freight_amount: str = yuan("其中运费", "0.00", source="order.freight_fen")
    freight_fen: int = fen("其中运费", 0, source="order.freight_fen")
    pay_amount: str = yuan("应付", source="order.pay_fen")
    pay_fen: int = fen("应付", source="order.pay_fen")
    requested_amount: str = yuan("已申请退款", "0.00", source="back.requested_fen")
    requested_fen: int = fen("已申请退款", 0, source="back.requested_fen")
    refunding_amount: str = yuan("正在退回", "0.00", source="back.refunding_fen")
    refunding_fen: int = fen("正在退回", 0, source="back.refunding_fen")
    refunded_amount: str = yuan("已退回", "0.00", source="back.refunded_fen")
    refunded_fen: int = fen("已退回", 0, source="back.refunded_fen")
    balance_fen: int | None = attribute(
        "买家的可用余额，分；未知时为 null / The buyer's balance in fen, if known"
    )
    expire_at: str = timestamp("支付截止 / Payment deadline", source="order.expire_ms")
    items: list[OrderItemData] = attribute(source="order.items")
    channels: list[ChannelData] = computed(
        lambda view, language: [
            ChannelData.of(unavailable, language, payment_type=kind.code)
            for kind, unavailable in view.channels.items()
        ]
    )
