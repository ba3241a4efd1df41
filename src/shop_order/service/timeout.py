"""What moves by itself: unpaid orders are cancelled, shipped ones are confirmed."""

from __future__ import annotations

from shop_order.domain.errors import RefundOpen
from shop_order.domain.ports import Clock, Orders
from shop_order.service.order import OrderService
from shop_order.service.settlement import Settlement

BATCH = 100


class TimeoutService:
    """The scan for orders whose time is over; running it often or twice changes nothing more."""

    def __init__(
        self, *, orders: Orders, service: OrderService, settlement: Settlement, clock: Clock
    ) -> None:
        self._orders = orders
        self._service = service
        self._settlement = settlement
        self._now = clock

    async def run_once(self) -> int:
        """Decide one batch of overdue orders; how many there were.

        An order with an open attempt is asked about first: a buyer whose notice was lost gets the goods.
        """
        due = await self._orders.due(self._now(), BATCH)
        for order_sn in due:
            order = await self._orders.get(order_sn)
            if attempt := order.open_payment():
                await self._settlement.ask(attempt)
            try:
                await self._service.time_is_over(order_sn)
            except RefundOpen:
                continue  # the refund's end decides
        return len(due)
