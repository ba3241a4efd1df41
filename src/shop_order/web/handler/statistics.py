"""The order log and the figures drawn from it, for operators (specification 6.4)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from shop_order.domain.errors import OrderNotFound
from shop_order.service.orderlog import OrderLogService
from shop_order.service.statistics import Statistics
from shop_order.web.dto import encode
from shop_order.web.dto.answers import AdminLogsData, StatisticsData
from shop_order.web.dto.fields import Day, OrderSn
from shop_order.web.handler.answer import context, success
from shop_order.web.handler.route import operation

TAG = "admin"


class StatisticsHandler:
    """Looking at what was done, and how much."""

    def __init__(self, order_log: OrderLogService, statistics: Statistics) -> None:
        self._order_log = order_log
        self._statistics = statistics

    @operation(
        "GET",
        "/api/v1/admin/orders/{order_sn}/logs",
        id="getOrderLogs",
        tag=TAG,
        summary="订单操作日志 / The log of an order",
        description="日志库不可用时取自订单历史。\n\n"
        "Taken from the order's own history while the log store is away.",
        data=AdminLogsData,
        errors=(OrderNotFound,),
    )
    async def logs(self, order_sn: OrderSn) -> Response:
        """What was done to an order, by whom."""
        entries = await self._order_log.of(order_sn)
        data = {"order_sn": order_sn, "logs": [encode.admin_log(entry) for entry in entries]}
        return success(data, "查询成功", "here it is")

    @operation(
        "GET",
        "/api/v1/admin/stats/orders",
        id="getOrderStatistics",
        tag=TAG,
        summary="订单统计 / Order statistics",
        description="按下单日（东八区）、支付渠道和状态汇总；默认最近 30 天，最多 366 天。\n\n"
        "Orders by the day they were placed (in China), channel and status; the last 30 days unless named, "
        "366 at most.",
        data=StatisticsData,
    )
    async def orders(
        self,
        start: Annotated[Day | None, Query(description="起始日（含）/ The first day")] = None,
        end: Annotated[Day | None, Query(description="结束日（含）/ The last day")] = None,
    ) -> Response:
        """Orders, amount and paid amount."""
        report = await self._statistics.report(start or "", end or "")
        return success(encode.statistics(report, context().language), "查询成功", "here it is")
