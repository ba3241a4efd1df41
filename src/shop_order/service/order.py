"""What buyers and operators do with orders: read, cancel, ship and confirm them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    Forbidden,
    IllegalTransition,
    InvalidArgument,
    OrderNotFound,
    PageTooDeep,
    StateChanged,
)
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import (
    COUNT_CAP,
    Clock,
    Cursor,
    OnUnreadable,
    OrderFilter,
    OrderLookup,
    OrderPage,
    Orders,
)
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.service.place import OrderRules

MAX_PAGE_SIZE = 100


@dataclass(kw_only=True, eq=False)
class OrderService:
    """The use cases of orders; see the methods for what each raises."""

    orders: Orders
    clock: Clock
    rules: Callable[[], OrderRules]
    refund_rules: Callable[[], RefundRules]
    next_refund_sn: Callable[[], str]
    on_unreadable: OnUnreadable
    shown: OrderLookup  # for orders that are only shown: may be cached

    # ---- reading ----

    async def get(self, actor: Actor, order_sn: str, *, owner: int = 0) -> Order:
        """The order, if the actor may see it, and if it is `owner`'s (0: any user's).

        Raises OrderNotFound.
        """
        return visible(await self.shown.get(order_sn), actor, owner)

    async def get_by_id(self, actor: Actor, id: int, *, owner: int = 0) -> Order:
        """The order with this id. Raises OrderNotFound, InvalidArgument."""
        if id <= 0:
            raise InvalidArgument("id", "not_an_id")
        return visible(await self.shown.get_by_id(id), actor, owner)

    async def history(self, order: Order) -> Sequence[Event]:
        """The events of an order that the caller may see."""
        return await self.orders.history(order.order_sn)

    async def list(
        self,
        actor: Actor,
        where: OrderFilter,
        *,
        page: int = 1,
        page_size: int = 20,
        after: Cursor | None = None,
        max_items: int | None = None,
    ) -> OrderPage:
        """A page of orders, newest first, with all or the first `max_items` of each.

        Users see their own orders, admins those of `where.user` or all.

        Raises InvalidArgument, PageTooDeep.
        """
        if page < 1 or page_size < 1:
            raise InvalidArgument("page" if page < 1 else "page_size", "too_small", min=1)
        if where.start_ms is not None and where.end_ms is not None and where.start_ms > where.end_ms:
            raise InvalidArgument("start_time", "too_late", other="end_time")
        page_size = min(page_size, MAX_PAGE_SIZE)
        offset = 0 if after else (page - 1) * page_size
        if offset + page_size > COUNT_CAP:
            raise PageTooDeep(COUNT_CAP)
        if not actor.is_admin:
            where = replace(where, user=actor.buyer_id())
        found = await self.orders.list(
            where, offset=offset, limit=page_size, after=after, max_items=max_items
        )
        for row in found.unreadable:
            self.on_unreadable(row)
        return found

    # ---- after placing ----

    async def cancel(
        self,
        actor: Actor,
        order_sn: str,
        reason: str = "",
        *,
        owner: int = 0,
        expected: OrderStatus | None = None,
        refund_paid: bool = True,
    ) -> Order:
        """Cancel an unpaid order; the event releases its stock. Idempotent.

        With `refund_paid` an admin's cancel of a paid order refunds all its money, whose success cancels it.
        Raises OrderNotFound, UseRefund (a buyer), IllegalTransition, StateChanged, InvalidArgument.
        """
        refund_sn = self.next_refund_sn() if actor.is_admin and refund_paid else ""

        def decide(order: Order) -> None:
            expect(visible(order, actor, owner), expected)
            if refund_sn and order.status is OrderStatus.PAID:
                rules = self.refund_rules()
                after_sales.cancel_paid(order, refund_sn, reason, actor, self.clock(), rules)
            else:
                order.cancel(reason, actor, self.clock(), code="ADMIN" if actor.is_admin else "BUYER")

        return (await self.orders.change(order_sn, decide))[0]

    async def ship(
        self, actor: Actor, order_sn: str, company: str, no: str, *, expected: OrderStatus | None = None
    ) -> Order:
        """Record that the parcel was sent. Idempotent.

        Raises OrderNotFound, IllegalTransition, RefundOpen, StateChanged, InvalidArgument.
        """

        def decide(order: Order) -> None:
            expect(order, expected)
            order.ship(company, no, actor, self.clock(), auto_confirm_ms=self.rules().auto_confirm_ms)

        return (await self.orders.change(order_sn, decide))[0]

    async def confirm(self, actor: Actor, order_sn: str, *, expected: OrderStatus | None = None) -> Order:
        """Record that the buyer received the order. Idempotent.

        Raises OrderNotFound, IllegalTransition, RefundOpen, StateChanged.
        """

        def decide(order: Order) -> None:
            expect(visible(order, actor), expected)
            order.complete(actor, self.clock())

        return (await self.orders.change(order_sn, decide))[0]

    async def apply_timeout(self, order_sn: str) -> Order:
        """Cancel an unpaid order, or complete a shipped one, if it timed out; otherwise do nothing.

        Raises OrderNotFound, RefundOpen.
        """

        def decide(order: Order) -> None:
            now_ms = self.clock()
            if order.due_ms is None or order.due_ms > now_ms:
                return
            if order.status is OrderStatus.PENDING:
                order.cancel("", SYSTEM, now_ms, code="TIMEOUT")
            else:
                order.complete(SYSTEM, now_ms)

        return (await self.orders.change(order_sn, decide))[0]

    async def update_status(
        self,
        actor: Actor,
        order_sn: str,
        to: OrderStatus,
        *,
        expected: OrderStatus | None = None,
        reason: str = "",
        logistics: tuple[str, str] = ("", ""),
    ) -> Order:
        """Cancel (buyer, admin), ship (admin) or complete (buyer) an order: chapter 3's one method.

        Raises Forbidden, IllegalTransition (to paid or pending), and what the transition raises.
        """
        if to is OrderStatus.CANCELLED:  # never of a paid order: it would not be cancelled yet
            return await self.cancel(actor, order_sn, reason, expected=expected, refund_paid=False)
        if to is OrderStatus.SHIPPED:
            if not actor.is_admin:
                raise Forbidden
            return await self.ship(actor, order_sn, *logistics, expected=expected)
        if to is OrderStatus.COMPLETED:
            if actor.is_admin:
                raise Forbidden("buyer_only")
            return await self.confirm(actor, order_sn, expected=expected)
        order = await self.get(actor, order_sn)
        raise IllegalTransition(order.status.name, to.name)


def visible(order: Order, actor: Actor, owner: int = 0) -> Order:
    """Return the order if the actor may see it. Raises OrderNotFound."""
    mine = actor.role is Role.SYSTEM or actor.is_admin or order.user == actor.user_id
    if not mine or (owner and order.user != owner):
        raise OrderNotFound
    return order


def expect(order: Order, status: OrderStatus | None) -> None:
    """Raise StateChanged if the order is not in the state that the caller expects."""
    if status is not None and order.status is not status:
        raise StateChanged(order.status.name)
