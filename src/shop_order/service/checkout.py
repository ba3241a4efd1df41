"""What a buyer at the cashier sees and does; the provider is queried at once, but not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import takewhile

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, OrderServiceError, UnreadableRow
from shop_order.domain.ports import Clock, TradeState
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.actor import SYSTEM, Actor, Role
from shop_order.service.order import OrderService
from shop_order.service.payment import PaymentService, PayOrder
from shop_order.service.return_urls import ReturnUrls
from shop_order.service.settlement import Settlement

EVERY_S = 2.0  # one attempt is queried at most this often, however many buyers look at it
WAIT_S = 2.0  # a page waits this long for the answer; the query itself goes on
QUERY_S = 15.0  # timeout of a query
QUERIED_MS = 86_400_000  # this long after an attempt's end only the jobs query it
MAX_REMEMBERED = 4096  # attempts
CHANGE_S = 4.0  # a buyer waits this long for the provider to close the attempt of another device
MAX_RUNNING = 32  # queries at a time: a provider that hangs must not collect more


async def own_turn(_what: str, _for_ms: int) -> bool:
    """There is no other instance."""
    return True


@dataclass(slots=True)
class _Query:
    sent_s: float
    task: asyncio.Task[TradeState]

    @property
    def said(self) -> TradeState:
        known = self.task.done() and not self.task.cancelled()
        return self.task.result() if known else TradeState.UNKNOWN


class Checkout:
    """What the holder of an order's link may see and do; `Settlement` applies what the provider says."""

    def __init__(
        self,
        *,
        orders: OrderService,
        payments: PaymentService,
        settlement: Settlement,
        clock: Clock,
        monotonic_s: Callable[[], float],
        return_urls: ReturnUrls,
        turn: Callable[[str, int], Awaitable[bool]] = own_turn,
        wait_s: float = WAIT_S,
    ) -> None:
        """`turn`: whether no other instance queried this attempt within so many ms."""
        self._orders = orders
        self._payments = payments
        self._settlement = settlement
        self._now = clock
        self._monotonic_s = monotonic_s
        self._wait_s = wait_s
        self._return_urls = return_urls
        self._turn = turn
        self._queries: dict[str, _Query] = {}  # the oldest first
        self._running = 0

    async def see(self, order_sn: str) -> Order:
        """The order as it is stored. Raises OrderNotFound."""
        return await self._orders.get(SYSTEM, order_sn)

    async def look(self, order_sn: str, *, back_from: str = "") -> tuple[Order, TradeState | None]:
        """The order after its attempts that may still bring money were queried, and what their provider says.

        None if there was nothing to query. `back_from` is the attempt from whose page the buyer returned.
        Raises OrderNotFound.
        """
        order = await self.see(order_sn)
        attempts = [p for p in self._to_query(order, back_from) if self._now() < p.over_ms + QUERIED_MS]
        if not attempts:
            return order, None
        said = await asyncio.gather(*(self._said(attempt) for attempt in attempts))
        return await self.see(order_sn), said[0]

    async def pay(self, order: Order, chosen: PaymentType, trade_type: str, *, return_url: str) -> Payment:
        """The attempt through which the buyer pays; an empty `trade_type` is the channel's default.

        If the provider can't close the attempt of another device now, that attempt: a page for another device
        is better than none. Raises what `PaymentService.pay` raises, and TimeoutError.
        """
        actor = Actor(Role.USER, order.user)  # the link was given to nobody but the buyer
        command = PayOrder(order.order_sn, chosen, trade_type, return_url=return_url)
        now_open = order.open_payment()
        try:
            async with asyncio.timeout(CHANGE_S if now_open else None):
                return (await self._payments.pay(actor, command)).result.payment
        except (ChannelUnavailable, DependencyDown, TimeoutError):
            if now_open is None or now_open.payment_type is not chosen:
                raise
        command = replace(command, trade_type=now_open.trade_type)
        return (await self._payments.pay(actor, command)).result.payment

    def pages(self, order: Order) -> tuple[str, str]:
        """The shop's pages after paying, and otherwise; empty if not given, or no longer allowed."""
        return self._return_urls.still(order.return_url), self._return_urls.still(order.cancel_url)

    def _to_query(self, order: Order, back_from: str) -> list[Payment]:
        """The open attempt, then the one the buyer came back from, which may have been closed meanwhile."""
        now_open, named = order.open_payment(), order.payments.get(back_from)
        found = [now_open] if now_open else []
        if named and named is not now_open and not named.is_paid and order.status in _MAY_BE_PAID:
            found.append(named)
        return found

    async def _said(self, payment: Payment) -> TradeState:
        query = self._query_of(payment)
        if query is None:
            return TradeState.UNKNOWN
        left_s = query.sent_s + self._wait_s - self._monotonic_s()
        await asyncio.wait([query.task], timeout=max(left_s, 0.0))
        return query.said

    def _query_of(self, payment: Payment) -> _Query | None:
        """The query of the last 2 s, otherwise a new one; None if there are too many."""
        now_s = self._monotonic_s()
        self._forget(now_s)
        known = self._queries.get(payment.payment_sn)
        if known and (not known.task.done() or now_s - known.sent_s < EVERY_S):
            return known
        if len(self._queries) >= MAX_REMEMBERED or self._running >= MAX_RUNNING:
            return None
        self._queries.pop(payment.payment_sn, None)
        query = _Query(now_s, asyncio.create_task(self._run(payment)))
        self._queries[payment.payment_sn] = query
        return query

    def _forget(self, now_s: float) -> None:
        old = list(takewhile(lambda one: now_s - one[1].sent_s >= EVERY_S, self._queries.items()))
        for sn, query in old:
            if query.task.done():
                del self._queries[sn]

    async def _run(self, payment: Payment) -> TradeState:
        self._running += 1
        try:
            async with asyncio.timeout(QUERY_S):
                if not await self._turn(payment.payment_sn, round(EVERY_S * 1000)):
                    self._queries.pop(payment.payment_sn, None)  # the next look may have its turn
                    return TradeState.UNKNOWN  # what the other instance learns, it stores
                return (await self._settlement.look(payment))[1]
        except (OrderServiceError, UnreadableRow, TimeoutError):
            return TradeState.UNKNOWN  # the jobs query it in their turn
        finally:
            self._running -= 1

    async def drain(self) -> None:
        """Wait for the running queries; at stop."""
        if tasks := [query.task for query in self._queries.values()]:
            await asyncio.wait(tasks, timeout=QUERY_S)


_MAY_BE_PAID = frozenset({OrderStatus.PENDING, OrderStatus.CANCELLED})
