"""The data of answers, as the document shows it; `encode.py` builds them without going through these."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from shop_order.web.dto.fields import EXAMPLE_SN

T = TypeVar("T")


class Answer(BaseModel):
    """A closed answer: a field that is not here is never sent."""

    model_config = ConfigDict(extra="forbid")


def _amount(words: str, example: str = "19.99") -> str:
    field: str = Field(
        description=f"{words}，元 / yuan, two decimals", examples=[example], pattern=r"^-?[0-9]+\.[0-9]{2}$"
    )
    return field


def _fen(words: str, example: int = 1999) -> int:
    field: int = Field(description=f"{words}，分 / fen", examples=[example])
    return field


def _time(words: str) -> str:
    field: str = Field(
        description=words,
        examples=["2026-11-23T13:45:00.000+08:00"],
        json_schema_extra={"format": "date-time"},
    )
    return field


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
    details: dict[str, str] = Field(examples=[{"goods_ids": "111"}])
    request_id: str = Field(examples=["5f0c1e5f8a9b4c0e"])


class CartItemData(Answer):
    """A line of the cart with today's goods; name, image and price are null when the goods are gone."""

    id: str = Field(examples=["730000000000000001"])
    goods_id: str = Field(examples=["101"])
    nums: int = Field(examples=[2])
    checked: bool
    goods_name: str | None = Field(examples=["龙井茶 明前特级 250g"])
    goods_image: str | None = Field(examples=["/images/101.svg"])
    price_amount: str | None = Field(description="单价，元 / yuan", examples=["168.00"])
    price_fen: int | None = Field(description="单价，分 / fen", examples=[16800])
    on_sale: bool
    stocks: int = Field(description="可售库存 / How many can be bought now", examples=[200])
    orderable: bool = Field(description="现在可以下单 / Can be ordered now")


class CartData(Answer):
    """The whole cart."""

    user_id: str = Field(examples=["7"])
    version: int = Field(description="每次修改加一 / Grows with every change", examples=[3])
    total: int = Field(description="行数 / Lines", examples=[1])
    items: list[CartItemData]
    checked_total_amount: str = _amount("已勾选且可下单的合计", "336.00")
    checked_total_fen: int = _fen("已勾选且可下单的合计", 33600)
    checked_freight_amount: str = _amount("其运费，不含部分省份的加价", "8.00")
    checked_freight_fen: int = _fen("其运费，不含部分省份的加价", 800)


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

    id: str
    goods_id: str = Field(examples=["101"])
    goods_name: str
    goods_image: str
    price_amount: str = _amount("单价")
    price_fen: int = _fen("单价")
    nums: int
    total_amount: str = _amount("小计")
    total_fen: int = _fen("小计")


class LogisticsData(Answer):
    """The parcel."""

    company: str = Field(examples=["顺丰速运"])
    no: str = Field(examples=["SF1234567890"])


class OrderData(Answer):
    """An order. What has not happened yet is null."""

    id: str = Field(examples=["730000000000000001"])
    user_id: str = Field(examples=["7"])
    order_sn: str = Field(examples=[EXAMPLE_SN])
    status: int = Field(
        description="1 待支付 2 已支付 3 已发货 4 已完成 5 已取消 / pending … cancelled", examples=[1]
    )
    status_text: str = Field(examples=["待支付"])
    pay_type: str | None = Field(examples=["alipay"])
    total_amount: str = _amount("商品合计")
    total_fen: int = _fen("商品合计")
    discount_amount: str = _amount("优惠", "0.00")
    discount_fen: int = _fen("优惠", 0)
    freight_amount: str = _amount("运费", "0.00")
    freight_fen: int = _fen("运费", 0)
    pay_amount: str = _amount("应付")
    pay_fen: int = _fen("应付")
    address: AddressData
    note: str
    created_at: str = _time("下单时间 / Placed")
    updated_at: str = _time("更新时间 / Last change")
    expire_at: str = _time("支付截止 / To be paid before")
    paid_at: str | None = _time("支付时间 / Paid")
    shipped_at: str | None = _time("发货时间 / Shipped")
    completed_at: str | None = _time("完成时间 / Completed")
    trade_no: str | None = Field(description="支付渠道流水号 / The provider's number")
    payment_sn: str | None = Field(
        description="已付款的支付（含取消后到账的），否则为最近一次 / "
        "The attempt that was paid, also too late, else the latest"
    )
    refund_status: int = Field(
        description="0 无 1 退款中 2 全额 3 部分，重复付款的退款不计 / "
        "none, open, whole, part; a duplicate payment's refund does not count",
        examples=[0],
    )
    cancel_reason: str | None = Field(
        description="取消者填写的原因，未填写时为 cancel_code / "
        "In the words of who cancelled it, else cancel_code"
    )
    cancel_code: str | None = Field(
        description="BUYER 买家 ADMIN 管理员 TIMEOUT 超时 / Who cancelled it", examples=["TIMEOUT"]
    )
    logistics: LogisticsData | None
    version: int = Field(examples=[1])
    pay_url: str | None = Field(description="收银台链接，仅待支付 / The cashier, while pending")
    items: list[OrderItemData] = Field(description="列表中仅前 5 项 / In a list the first 5")
    items_total: int = Field(description="商品行数 / How many items it has", examples=[1])


class LogData(Answer):
    """One entry of an order's history."""

    action: str = Field(examples=["create"])
    old_status: int
    new_status: int
    operator: str = Field(description="user, system, admin", examples=["user"])
    operator_id: str
    reason: str
    at: str = _time("时间 / When")


class PaymentData(Answer):
    """An attempt to pay."""

    payment_sn: str = Field(examples=["P" + EXAMPLE_SN])
    order_sn: str = Field(examples=[EXAMPLE_SN])
    payment_type: str = Field(examples=["alipay"])
    trade_type: str = Field(examples=["page"])
    status: int = Field(
        description="1 待支付 2 已支付 3 已退款 4 已关闭 / open, paid, refunded, closed", examples=[1]
    )
    amount: str = _amount("金额")
    amount_fen: int = _fen("金额")
    refunded_amount: str = _amount("已退", "0.00")
    refunded_fen: int = _fen("已退", 0)
    payment_url: str | None = Field(
        description="支付链接或二维码内容，仅待支付 / A link, or the text of a QR code; while open"
    )
    jsapi_params: dict[str, str] | None = Field(
        description="调起支付的参数，仅待支付 / What the provider's app is called with; while open"
    )
    trade_no: str | None
    created_at: str = _time("创建时间 / Opened")
    paid_at: str | None = _time("支付时间 / Paid")
    expire_at: str = _time("截止时间 / Open until")


class OrderDetailData(OrderData):
    """An order with its history and payments."""

    return_url: str | None = Field(description="付款后的页面 / The shop's page once it is paid")
    cancel_url: str | None = Field(description="未付款时的页面 / The shop's page otherwise")
    logs: list[LogData]
    payments: list[PaymentData]


class OrderListData(Answer):
    """A page of orders, newest first."""

    items: list[OrderData]
    total: int = Field(description="总数，最多数到 10000 / Stops counting at 10,000", examples=[1])
    total_is_capped: bool
    page: int = Field(examples=[1])
    page_size: int = Field(examples=[20])
    next_cursor: str | None = Field(description="下一页的游标 / Send it as cursor to go on")


class OrderStatusData(Answer):
    """The few fields a page polls."""

    order_sn: str = Field(examples=[EXAMPLE_SN])
    status: int = Field(examples=[1])
    status_text: str = Field(examples=["待支付"])
    refund_status: int
    version: int
    updated_at: str = _time("更新时间 / Last change")
    expire_at: str = _time("支付截止 / To be paid before")


class SubmitTokenData(Answer):
    """A token for one submit, to be sent as Idempotency-Key."""

    token: str = Field(examples=["st_…"])
    expires_at: str = _time("有效期至 / Valid until")


class AdminLogData(LogData):
    """One entry of the order log, with what else is known of the event."""

    id: str = Field(description="事件编号 / The event's id", examples=["7398511212347392"])
    version: int = Field(examples=[1])
    details: dict[str, Any] = Field(description="事件的其余内容 / The rest of the event")


class AdminLogsData(Answer):
    """The log of one order, in order of version."""

    order_sn: str = Field(examples=[EXAMPLE_SN])
    logs: list[AdminLogData]


class SumsData(Answer):
    """Orders with their amounts. `paid` is all money that arrived, also too late or twice; `refunded` is what
    went back of it, `net` what stayed."""

    orders: int = Field(examples=[1])
    amount: str = _amount("应付")
    amount_fen: int = _fen("应付")
    paid_amount: str = _amount("到账（含取消后到账和重复付款）")
    paid_fen: int = _fen("到账（含取消后到账和重复付款）")
    refunded_amount: str = _amount("其中已退", "0.00")
    refunded_fen: int = _fen("其中已退", 0)
    net_amount: str = _amount("净额：到账减已退")
    net_fen: int = _fen("净额：到账减已退")


class DaySumsData(SumsData):
    """The orders placed on one day."""

    day: str = Field(description="下单日（东八区）/ When they were placed", examples=["2026-11-23"])


class ChannelSumsData(SumsData):
    """The orders of one channel, empty while none is chosen."""

    payment_type: str = Field(examples=["alipay"])


class StatusSumsData(SumsData):
    """The orders in one status."""

    status: int = Field(examples=[2])
    status_text: str = Field(examples=["已支付"])


class StatisticsData(Answer):
    """Figures of the orders placed from `start` to `end`, both included."""

    start: str = Field(examples=["2026-11-01"])
    end: str = Field(examples=["2026-11-23"])
    total: SumsData
    by_day: list[DaySumsData]
    by_channel: list[ChannelSumsData]
    by_status: list[StatusSumsData]
    waiting_events: int = Field(description="尚未计入的事件数 / Events not counted yet", examples=[0])
    complete: bool = Field(description="重建期间为 false / False while rebuilt", examples=[True])


class ClockData(Answer):
    """The service's time."""

    now: str = _time("服务时间 / The service's time")
    now_ms: int = Field(examples=[1795412700000])


class ChannelData(Answer):
    """A way to pay."""

    payment_type: str = Field(examples=["alipay"])
    available: bool
    reason: str | None = Field(
        description="不可用的原因 / Why it is not: CHANNEL_UNAVAILABLE, AMOUNT_NOT_PAYABLE",
        examples=["AMOUNT_NOT_PAYABLE"],
    )
    message: str | None = Field(description="给买家看的说明 / The same for people")


class CashierData(Answer):
    """What the cashier shows."""

    order_sn: str = Field(examples=[EXAMPLE_SN])
    status: int = Field(examples=[1])
    status_text: str = Field(examples=["待支付"])
    state: str = Field(
        description="付款的进展 / pending, confirming, over, paid, shipped, completed, cancelled, refunding, "
        "refunded",
        examples=["pending"],
    )
    may_pay: bool = Field(description="现在能否支付 / Whether POST goes to a provider")
    provider_says: str | None = Field(
        description="刚才问到的结果 / What the provider said just now: waiting, absent, paid, closed, unknown"
    )
    qr_code: str | None = Field(description="待扫描的二维码内容 / The text of the QR code to scan")
    return_url: str | None = Field(description="付款后的页面 / The shop's page once it is paid")
    cancel_url: str | None = Field(description="未付款时的页面 / The shop's page otherwise")
    poll_s: int | None = Field(description="几秒后再看 / Look again after; null: it stays", examples=[10])
    shop_name: str | None
    freight_amount: str = _amount("其中运费", "0.00")
    freight_fen: int = _fen("其中运费", 0)
    pay_amount: str = _amount("应付")
    pay_fen: int = _fen("应付")
    refunding_amount: str = _amount("正在退回", "0.00")
    refunding_fen: int = _fen("正在退回", 0)
    refunded_amount: str = _amount("已退回", "0.00")
    refunded_fen: int = _fen("已退回", 0)
    expire_at: str = _time("支付截止 / To be paid before")
    items: list[OrderItemData]
    channels: list[ChannelData]
