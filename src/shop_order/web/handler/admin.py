"""Operations for admins: shipping, the order log and statistics (specification 6.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from shop_order.domain.errors import (
    IllegalTransition,
    OrderNotFound,
    RefundOpen,
    StateChanged,
    TooMuchContention,
)
from shop_order.domain.status import OrderStatus
from shop_order.service.use_cases import UseCases
from shop_order.web.context import context
from shop_order.web.dto.admin_responses import AdminLogsData, ClockData, SettlementData, StatisticsData
from shop_order.web.dto.fields import Day, OrderSn, PayType
from shop_order.web.dto.requests import ClockBody, ShipBody
from shop_order.web.dto.responses import OrderData
from shop_order.web.handler.route import operation, success

TAG = "admin"
AdvanceClock = Callable[[int], Awaitable[int]]  # seconds to add -> the new time in epoch ms


@dataclass(frozen=True)
class AdminHandler:
    """Routes below /admin."""

    use_cases: UseCases

    @operation(
        "POST",
        "/api/v1/admin/orders/{order_sn}/ship",
        id="shipOrder",
        tag=TAG,
        summary="发货 / Ship",
        description="同一运单可重复提交。\n\nIdempotent for the same parcel.",
        data=OrderData,
        errors=(OrderNotFound, IllegalTransition, RefundOpen, StateChanged, TooMuchContention),
    )
    async def ship(self, order_sn: OrderSn, body: ShipBody) -> Response:
        """Ship the order."""
        ctx = context()
        expected = None if body.expected_status is None else OrderStatus(body.expected_status)
        order = await self.use_cases.orders.ship(
            ctx.caller, order_sn, body.logistics_company, body.logistics_no, expected=expected
        )
        return success(OrderData.of(order, ctx.language, pay_url=None), "订单已发货", "order shipped")

    @operation(
        "GET",
        "/api/v1/admin/orders/{order_sn}/logs",
        id="getOrderLogs",
        tag=TAG,
        summary="订单操作日志 / Order log",
        description="日志库不可用时取自订单历史。\n\n"
        "Read from the order's history while the log store is unavailable.",
        data=AdminLogsData,
        errors=(OrderNotFound,),
    )
    async def logs(self, order_sn: OrderSn) -> Response:
        """The log of an order."""
        entries = await self.use_cases.order_log.entries(order_sn)
        return success(AdminLogsData.of(entries, order_sn=order_sn), "查询成功", "ok")

    @operation(
        "GET",
        "/api/v1/admin/stats/orders",
        id="getOrderStatistics",
        tag=TAG,
        summary="订单统计 / Order statistics",
        description="按下单日（东八区）、支付渠道和状态汇总；默认最近 30 天，最多 366 天。\n\n"
        "Orders by order date (UTC+8), channel and status. The default is the last 30 days, the maximum 366.",
        data=StatisticsData,
    )
    async def order_statistics(
        self,
        start: Annotated[Day | None, Query(description="起始日（含）/ First day")] = None,
        end: Annotated[Day | None, Query(description="结束日（含）/ Last day")] = None,
    ) -> Response:
        """Order counts and amounts."""
        report = await self.use_cases.statistics.report(start or "", end or "")
        return success(StatisticsData.of(report, context().language), "查询成功", "ok")

    @operation(
        "GET",
        "/api/v1/admin/stats/settlement",
        id="getSettlement",
        tag=TAG,
        summary="渠道结算 / Settlement of the channels",
        description="按账单日（东八区）和支付渠道列出已核对账单的支付、退款、手续费与净额；"
        "余额支付没有账单，不在其中。默认截至昨日的 30 天，最多 366 天。\n\n"
        "What each provider pays out, by the day of its bill (UTC+8), from the reconciled bills; the "
        "balance, which has no bill, is left out. The default is 30 days until yesterday, the maximum 366.",
        data=SettlementData,
    )
    async def settlement(
        self,
        start: Annotated[Day | None, Query(description="起始日（含）/ First day")] = None,
        end: Annotated[Day | None, Query(description="结束日（含）/ Last day")] = None,
        payment_type: Annotated[PayType | None, Query(description="支付渠道 / The channel")] = None,
    ) -> Response:
        """Gross, fees, refunds and net of each day and channel."""
        report = await self.use_cases.settled_days.report(start or "", end or "", payment_type)
        return success(SettlementData.of(report, context().language), "查询成功", "ok")


class ClockHandler:
    """The test clock, which does not exist in production."""

    def __init__(self, advance: AdvanceClock) -> None:
        self._advance = advance

    @operation(
        "POST",
        "/api/v1/admin/clock",
        id="advanceClock",
        tag=TAG,
        summary="快进测试时钟 / Advance the test clock",
        description="仅 dev 与 test 环境，只能向前；影响超时与自动确认，不影响令牌、签名与幂等。\n\n"
        "Only in dev and test, only forward. Affects timeouts and automatic confirmation, but not tokens, "
        "signatures or idempotency.",
        data=ClockData,
    )
    async def advance(self, body: ClockBody) -> Response:
        """Advance the clock."""
        now_ms = await self._advance(body.advance_s)
        return success(ClockData.of(now_ms), "时钟已快进", "clock advanced")
