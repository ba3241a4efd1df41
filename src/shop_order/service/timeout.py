"""What moves by itself: unpaid orders are cancelled, shipped ones are confirmed."""

from __future__ import annotations

import asyncio

from shop_order.domain.errors import RefundOpen, UnreadableRow
from shop_order.domain.ports import Clock, Due, OnUnreadable, Orders
from shop_order.service.order import OrderService
from shop_order.service.settlement import Settlement

BATCH = 32  # also how many providers are asked at once: one that hangs must not hold up the others


class TimeoutService:
    """The scan for orders whose time is over; running it often or twice changes nothing more.

    It walks from the longest overdue to the last, and begins anew: orders that can't be decided, however
    many, are passed over for the rest of the walk and hold up nobody.
    """

    def __init__(
        self,
        *,
        orders: Orders,
        service: OrderService,
        settlement: Settlement,
        on_unreadable: OnUnreadable,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._on_unreadable = on_unreadable
        self._after: Due | None = None
        self._service = service
        self._settlement = settlement
        self._now = clock

    async def run_once(self) -> int:
        """Decide one batch of overdue orders side by side; how many could be decided.

        Raises what the first of the others met, after all had their turn.
        """
        due = await self._orders.due(self._now(), BATCH, self._after)
        self._after = due[-1] if len(due) == BATCH else None
        ends = await asyncio.gather(*(self.decide(one.order_sn) for one in due), return_exceptions=True)
        for end in ends:
            if isinstance(end, UnreadableRow):
                self._on_unreadable(end)
            elif isinstance(end, BaseException):
                raise end
        return sum(end is True for end in ends)

    def goes_on(self, done: int) -> bool:
        """Whether the next batch follows at once, after one of which so many were decided."""
        return bool(done) or self._after is not None

    async def decide(self, order_sn: str) -> bool:
        """Whether this order could be decided; nothing happens before its time.

        Providers are asked first: a buyer whose notice was lost gets the goods.
        Raises OrderNotFound, UnreadableRow, DependencyDown.
        """
        order = await self._orders.get(order_sn)
        for attempt in order.may_have_money():
            await self._settlement.ask(attempt)
        try:
            await self._service.time_is_over(order_sn)
        except RefundOpen:
            return False  # the refund's end decides
        return True
