"""Responses for operators."""

from __future__ import annotations

from typing import Any

from shop_order.domain.status import OrderStatus
from shop_order.web.dto.fields import (
    EXAMPLE_SN,
    ResponseData,
    argument,
    attribute,
    computed,
    fen,
    id_text,
    timestamp,
    yuan,
)
from shop_order.web.dto.responses import LogData
from shop_order.web.messages import status_text


class AdminLogData(LogData):
    """An entry of the order log, with the remaining data of the event."""

    id: str = id_text("7398511212347392", description="事件编号 / The event's id")
    version: int = attribute(example=1)
    details: dict[str, Any] = attribute("事件的其余内容 / The remaining data of the event")


class AdminLogsData(ResponseData):
    """The log of an order, by version."""

    order_sn: str = argument(example=EXAMPLE_SN)
    logs: list[AdminLogData] = attribute(source=lambda log: log)


class SumsData(ResponseData):
    """Orders and amounts. `paid` includes late and duplicate payments; `net` is `paid` minus `refunded`."""

    orders: int = attribute(example=1)
    amount: str = yuan("应付")
    amount_fen: int = fen("应付")
    paid_amount: str = yuan("到账（含取消后到账和重复付款）")
    paid_fen: int = fen("到账（含取消后到账和重复付款）")
    refunded_amount: str = yuan("其中已退", "0.00")
    refunded_fen: int = fen("其中已退", 0)
    net_amount: str = yuan("净额：到账减已退")
    net_fen: int = fen("净额：到账减已退")


class DaySumsData(SumsData):
    """Orders placed on a day."""

    day: str = argument("下单日（东八区）/ Order date (UTC+8)", "2026-11-23")


class ChannelSumsData(SumsData):
    """Orders of a channel; `payment_type` is empty if none was chosen."""

    payment_type: str = argument(example="alipay")


class StatusSumsData(SumsData):
    """Orders in a status."""

    status: int = argument(example=2)
    status_text: str = argument(example="已支付")


class StatisticsData(ResponseData):
    """Statistics of the orders placed from `start` to `end`, inclusive."""

    start: str = attribute(example="2026-11-01", source="first_day")
    end: str = attribute(example="2026-11-23", source="last_day")
    total: SumsData
    by_day: list[DaySumsData] = computed(
        lambda it, _: [DaySumsData.of(of, day=day) for day, of in it.by_day.items()]
    )
    by_channel: list[ChannelSumsData] = computed(
        lambda it, _: [ChannelSumsData.of(of, payment_type=channel) for channel, of in it.by_channel.items()]
    )
    by_status: list[StatusSumsData] = computed(
        lambda it, language: [
            StatusSumsData.of(of, status=status, status_text=status_text(OrderStatus(status), language))
            for status, of in it.by_status.items()
        ]
    )
    waiting_events: int = attribute("尚未计入的事件数 / Events not yet included", 0, source="waiting")
    complete: bool = attribute("重建期间为 false / False while being rebuilt", True, source="is_complete")


class SettledSumsData(ResponseData):
    """Figures of the bills. `net` is what is paid out: `gross` minus `refunded`, `fee` and `discount`."""

    payments: int = attribute("支付笔数 / Payments in the bill", 2)
    gross_amount: str = yuan("账单支付额", source="gross_fen")
    gross_fen: int = fen("账单支付额")
    refunds: int = attribute("退款笔数 / Refunds in the bill", 1)
    refunded_amount: str = yuan("账单退款额", "1.00", source="refunded_fen")
    refunded_fen: int = fen("账单退款额", 100)
    fee_amount: str = yuan("手续费，退还为负", "0.11", source="fee_fen")
    fee_fen: int = fen("手续费，退还为负", 11)
    discount_amount: str = yuan("商家在渠道的优惠", "0.00", source="discount_fen")
    discount_fen: int = fen("商家在渠道的优惠", 0)
    net_amount: str = yuan("净额", "18.88", source="net_fen")
    net_fen: int = fen("净额", 1888)
    our_gross_amount: str = yuan("我方记录的支付额", source="our_gross_fen")
    our_gross_fen: int = fen("我方记录的支付额")
    our_refunded_amount: str = yuan("我方记录的退款额", "1.00", source="our_refunded_fen")
    our_refunded_fen: int = fen("我方记录的退款额", 100)
    differences: int = attribute("差异数 / Differences", 0)


class SettledDayData(SettledSumsData):
    """A day of a channel, by the provider's clock; without a bill all figures are 0."""

    day: str = argument("账单日（东八区）/ The bill's day (UTC+8)", "2026-11-23")
    payment_type: str = argument(example="alipay")
    state: str = argument(
        "reconciled 已核对 / differences 有差异 / incomplete 需重新核对 / bill_missing 缺账单 / "
        "not_out 账单未出",
        "reconciled",
    )


class SettledChannelData(SettledSumsData):
    """All days of a channel."""

    payment_type: str = argument(example="alipay")


class SettlementData(ResponseData):
    """The settlement of the bills from `start` to `end`, inclusive."""

    start: str = attribute(example="2026-11-01", source=lambda it: str(it.first_day))
    end: str = attribute(example="2026-11-23", source=lambda it: str(it.last_day))
    complete: bool = attribute("每天都已核对一致 / Every day is reconciled", True, source="is_complete")
    days: list[SettledDayData] = computed(
        lambda it, _: [
            SettledDayData.of(one.sums, day=str(one.day), payment_type=one.channel, state=one.state.value)
            for one in it.days
        ]
    )
    by_channel: list[SettledChannelData] = computed(
        lambda it, _: [
            SettledChannelData.of(of, payment_type=channel) for channel, of in it.by_channel.items()
        ]
    )


class ClockData(ResponseData):
    """The time of the test clock."""

    now: str = timestamp("服务时间 / The current time of the service", source=lambda now_ms: now_ms)
    now_ms: int = attribute(example=1795412700000, source=lambda now_ms: now_ms)
