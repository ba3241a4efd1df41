"""The check-back: the state of orders whose stock leases expired (decision stock-lease)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shop_order.domain.errors import Forbidden, InvalidArgument, UnreadableRow
from shop_order.domain.ports import Clock, OnUnreadable, Orders, OrderStanding
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.ids import is_order_sn

MARGIN_MS = 120_000
MAX_NUMBERS = 1000  # in one request


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a lease: EXTEND to `until_ms` (real time), CONFIRM, RELEASE or ABANDONED."""

    order_sn: str
    answer: str
    until_ms: int = 0


@dataclass(kw_only=True, eq=False)
class ReservationService:
    """Answers the services that own stock leases."""

    orders: Orders
    on_unreadable: OnUnreadable
    clock: Clock
    real_clock: Clock
    owners: Collection[str]  # names of the services that may call, since a check can abandon an order

    async def check(self, actor: Actor, order_sns: Sequence[str]) -> list[Verdict]:
        """One verdict per valid order number, in order; other numbers are left out.

        A number without an order gets a tombstone, so that no such order can be stored later.
        Raises Forbidden (not an owner of leases), InvalidArgument (too many numbers), RateLimited (too many
        tombstones: none was added, and the leases stay as they are).
        """
        if actor.role is not Role.SERVICE or actor.service not in self.owners:
            raise Forbidden
        if len(order_sns) > MAX_NUMBERS:
            raise InvalidArgument("order_sns", "too_many", max=MAX_NUMBERS)
        # An unknown number must not keep the owner from the other answers.
        order_sns = [sn for sn in order_sns if is_order_sn(sn)]
        found = await self.orders.statuses_or_tombstones(order_sns, self.real_clock())
        return [self._verdict(order_sn, found[order_sn]) for order_sn in order_sns]

    def _verdict(self, order_sn: str, order: OrderStanding | UnreadableRow | None) -> Verdict:
        if order is None:
            return Verdict(order_sn, "ABANDONED")
        if isinstance(order, UnreadableRow):  # keep the lease; it will be checked again
            self.on_unreadable(order)
            return Verdict(order_sn, "EXTEND", self.real_clock() + MARGIN_MS)
        if order.was_paid:  # cancelled since, too: its goods are sold, and its refund returns them
            return Verdict(order_sn, "CONFIRM")
        if order.status is OrderStatus.CANCELLED:
            return Verdict(order_sn, "RELEASE")
        left_ms = max(order.expire_ms - self.clock(), 0)
        return Verdict(order_sn, "EXTEND", self.real_clock() + left_ms + MARGIN_MS)
