"""Overdue orders: cancel the unpaid ones and complete the shipped ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from shop_order.domain.errors import RefundOpen, UnreadableRow
from shop_order.domain.ports import Clock, Due, OnUnreadable, Orders
from shop_order.service.order import OrderService
from shop_order.service.settle import Settlement

BATCH = 32  # also the number of concurrent queries: a provider that hangs must not block the others


@dataclass(kw_only=True, eq=False)
class TimeoutService:
    """Scans overdue orders repeatedly, the longest overdue first. Idempotent.

    Orders that can't be processed are skipped until the next scan, so that they do not block others.
    """

    orders: Orders
    service: OrderService
    settlement: Settlement
    on_unreadable: OnUnreadable
    clock: Clock
    _after: Due | None = field(default=None, init=False)

    async def run_once(self) -> int:
        """Process a batch of overdue orders concurrently. Return how many were processed.

        Raises the first unexpected error after the whole batch.
        """
        due = await self.orders.due(self.clock(), BATCH, self._after)
        self._after = due[-1] if len(due) == BATCH else None
        results = await asyncio.gather(*(self.decide(one.order_sn) for one in due), return_exceptions=True)
        for result in results:
            if isinstance(result, UnreadableRow):
                self.on_unreadable(result)
            elif isinstance(result, BaseException):
                raise result
        return sum(result is True for result in results)

    def has_more(self, done: int) -> bool:
        """Whether the next batch should follow at once, after a batch that processed `done` orders."""
        return bool(done) or self._after is not None

    async def decide(self, order_sn: str) -> bool:
        """Cancel or complete an order if it is overdue. Return False if that has to wait for a refund.

        Open attempts are queried first, so that a buyer whose notice was lost gets the goods.
        Raises OrderNotFound, UnreadableRow, DependencyDown.
        """
        order = await self.orders.get(order_sn)
        for attempt in order.attempts_to_query():
            await self.settlement.settle(attempt)
        try:
            await self.service.apply_timeout(order_sn)
        except RefundOpen:
            return False
        return True
