"""The answers that operators get."""

from __future__ import annotations

from typing import Any

from shop_order.domain.status import OrderStatus
from shop_order.web.dto.answers import LogData
from shop_order.web.dto.fields import EXAMPLE_SN
from shop_order.web.dto.shape import Answer, computed, fen, given, id_text, shown, timestamp, yuan
from shop_order.web.messages import status_text


class AdminLogData(LogData):
    """One entry of the order log, with what else is known of the event."""

    id: str = id_text("7398511212347392", words="事件编号 / The event's id")
    version: int = shown(example=1)
    details: dict[str, Any] = shown("事件的其余内容 / The rest of the event")


class AdminLogsData(Answer):
    """The log of one order, in order of version."""

    order_sn: str = given(example=EXAMPLE_SN)
    logs: list[AdminLogData] = shown(source=lambda log: log)


class SumsData(Answer):
    """Orders with their amounts. `paid` is all money that arrived, also too late or twice; `refunded` is what
    went back of it, `net` what stayed."""

    orders: int = shown(example=1)
    amount: str = yuan("应付")
    amount_fen: int = fen("应付")
    paid_amount: str = yuan("到账（含取消后到账和重复付款）")
    paid_fen: int = fen("到账（含取消后到账和重复付款）")
    refunded_amount: str = yuan("其中已退", "0.00")
    refunded_fen: int = fen("其中已退", 0)
    net_amount: str = yuan("净额：到账减已退")
    net_fen: int = fen("净额：到账减已退")


class DaySumsData(SumsData):
    """The orders placed on one day."""

    day: str = given("下单日（东八区）/ When they were placed", "2026-11-23")


class ChannelSumsData(SumsData):
    """The orders of one channel, empty while none is chosen."""

    payment_type: str = given(example="alipay")


class StatusSumsData(SumsData):
    """The orders in one status."""

    status: int = given(example=2)
    status_text: str = given(example="已支付")


class StatisticsData(Answer):
    """Figures of the orders placed from `start` to `end`, both included."""

    start: str = shown(example="2026-11-01", source="first_day")
    end: str = shown(example="2026-11-23", source="last_day")
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
    waiting_events: int = shown("尚未计入的事件数 / Events not counted yet", 0, source="waiting")
    complete: bool = shown("重建期间为 false / False while rebuilt", True, source="is_complete")


class ClockData(Answer):
    """The service's time."""

    now: str = timestamp("服务时间 / The service's time", source=lambda now_ms: now_ms)
    now_ms: int = shown(example=1795412700000, source=lambda now_ms: now_ms)
