"""Refunds that nobody decided in time: approved by themselves, if the shop wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import Clock, OnUnreadable, Orders, RefundPosition, Refunds
from shop_order.domain.refund_errors import NotRefundable

BATCH = 32


@dataclass(kw_only=True, eq=False)
class AutoApproval:
    """Scans undecided refunds repeatedly, the oldest first. Idempotent.

    Those that need two admins, or for which no money is left, are skipped until the next scan.
    """

    orders: Orders
    refunds: Refunds
    rules: Callable[[], RefundRules]
    on_unreadable: OnUnreadable
    clock: Clock
    _after: RefundPosition | None = field(default=None, init=False)

    async def run_once(self) -> int:
        """Approve a batch of overdue refunds. Return how many were approved."""
        wait_ms = self.rules().auto_approve_ms
        if not wait_ms:
            self._after = None
            return 0
        due = await self.refunds.undecided(self.clock() - wait_ms + 1, BATCH, self._after)
        self._after = due[-1] if len(due) == BATCH else None
        approved = 0
        for one in due:
            try:
                approved += await self._approve(one.refund_sn)
            except UnreadableRow as row:
                self.on_unreadable(row)
        return approved

    def has_more(self, done: int) -> bool:
        """Whether the next batch should follow at once."""
        return self._after is not None

    async def _approve(self, refund_sn: str) -> bool:
        def decide(order: Order) -> Refund | None:
            return after_sales.approve_by_itself(order, refund_sn, self.clock(), self.rules())

        refund = await self.refunds.find(refund_sn)
        order = await self.orders.get(refund.order_sn)
        try:
            # Only read, since those that are skipped are looked at in every scan.
            if not after_sales.is_approved_by_itself(order, refund_sn, self.clock(), self.rules()):
                return False
            return (await self.orders.change(refund.order_sn, decide))[1] is not None
        except NotRefundable:
            return False
