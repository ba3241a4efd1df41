"""What operators do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi.responses import Response

from shop_order.domain.errors import (
    IllegalTransition,
    OrderNotFound,
    RefundOpen,
    StateChanged,
    TooMuchContention,
)
from shop_order.domain.status import OrderStatus
from shop_order.service.order import OrderService
from shop_order.web.dto import encode
from shop_order.web.dto.answers import ClockData, OrderData
from shop_order.web.dto.fields import OrderSn
from shop_order.web.dto.requests import ClockBody, ShipBody
from shop_order.web.handler.answer import context, success
from shop_order.web.handler.route import operation
from shop_order.web.times import rfc3339

TAG = "admin"
AdvanceClock = Callable[[int], Awaitable[int]]  # seconds to add -> the new time in epoch ms


class AdminHandler:
    """Routes below /admin."""

    def __init__(self, orders: OrderService) -> None:
        self._orders = orders

    @operation(
        "POST",
        "/api/v1/admin/orders/{order_sn}/ship",
        id="shipOrder",
        tag=TAG,
        summary="发货 / Ship",
        description="同一运单重复提交不报错。\n\nThe same parcel again is no error.",
        data=OrderData,
        errors=(OrderNotFound, IllegalTransition, RefundOpen, StateChanged, TooMuchContention),
    )
    async def ship(self, order_sn: OrderSn, body: ShipBody) -> Response:
        """Send the parcel."""
        it = context()
        expected = None if body.expected_status is None else OrderStatus(body.expected_status)
        order = await self._orders.ship(
            it.caller, order_sn, body.logistics_company, body.logistics_no, expected=expected
        )
        return success(encode.order(order, it.language, ""), "订单已发货", "the order was shipped")


class ClockHandler:
    """The test clock; production does not have it."""

    def __init__(self, advance: AdvanceClock) -> None:
        self._advance = advance

    @operation(
        "POST",
        "/api/v1/admin/clock",
        id="advanceClock",
        tag=TAG,
        summary="快进测试时钟 / Move the test clock",
        description="仅 dev 与 test 环境，只能向前；影响超时与自动确认，不影响令牌、签名与幂等。\n\n"
        "In dev and test only, forward only. It moves timeouts and automatic confirmation, "
        "not tokens, signatures or idempotency.",
        data=ClockData,
    )
    async def advance(self, body: ClockBody) -> Response:
        """Move the clock forward."""
        now_ms = await self._advance(body.advance_s)
        return success({"now": rfc3339(now_ms), "now_ms": now_ms}, "时钟已快进", "the clock was moved")
