"""The use cases of the cashier. Providers are queried at once, but not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import takewhile

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, OrderServiceError, UnreadableRow
from shop_order.domain.ports import Clock, Payer, TradeState
from shop_order.domain.status import OrderStatus, PaymentType, RefundState
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.service.order import OrderService
from shop_order.service.pay import PaymentService, PayOrder
from shop_order.service.place import ReturnUrls
from shop_order.service.settle import Settlement

EVERY_S = 2.0  # minimum interval between two queries of one attempt
WAIT_S = 2.0  # a page waits this long for the answer; the query goes on
QUERY_S = 15.0  # timeout of a query
QUERIED_MS = 86_400_000  # this long after an attempt expired, only the jobs query it
MAX_REMEMBERED = 4096  # attempts
CHANGE_S = 4.0  # a buyer waits this long for the attempt of another device to be closed
BALANCE_S = 1.0  # a page waits this long for the buyer's balance
MAX_RUNNING = 32  # concurrent queries, in case a provider hangs


class Stage(StrEnum):
    """The state of an order's payment as its buyer sees it. `OVER`: expired, about to be cancelled."""

    PENDING = "pending"
    CONFIRMING = "confirming"
    OVER = "over"
    PAID = "paid"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """Refunds as the buyer sees them, in fen: asked for, on their way, and returned."""

    requested_fen: int
    refunding_fen: int
    refunded_fen: int


def money_back(refunds: Iterable[Refund]) -> MoneyBack:
    """Add up refunds. One that failed is still on its way, one that waits for goods is still a request."""
    live = [refund for refund in refunds if refund.is_live]
    requested_fen = sum(refund.amount_fen for refund in live if refund.state in _UNDECIDED)
    refunded_fen = sum(refund.amount_fen for refund in live if refund.is_refunded)
    all_fen = sum(refund.amount_fen for refund in live)
    return MoneyBack(requested_fen, all_fen - requested_fen - refunded_fen, refunded_fen)


def stage_of(order: Order, now_ms: int) -> Stage:
    """The stage at `now_ms`.

    A refund of a part leaves an order that is not cancelled as it is. Surplus refunds count only if the order
    is cancelled.
    """
    if order.status is OrderStatus.PENDING:
        if order.money.open_payment():
            return Stage.CONFIRMING
        return Stage.PENDING if now_ms < order.expire_ms else Stage.OVER
    cancelled = order.status is OrderStatus.CANCELLED
    back = money_back(one for one in order.refunds.values() if cancelled or not one.surplus)
    whole = cancelled or back.refunding_fen + back.refunded_fen >= order.pay_fen
    if whole and back.refunding_fen:
        return Stage.REFUNDING
    if whole and back.refunded_fen:
        return Stage.REFUNDED
    return Stage(order.status.name.lower())


async def single_instance(_what: str, _for_ms: int) -> bool:
    """Return True: without other instances, every query is allowed."""
    return True


@dataclass(slots=True)
class _Query:
    sent_s: float
    task: asyncio.Task[TradeState]

    @property
    def state(self) -> TradeState:
        known = self.task.done() and not self.task.cancelled()
        return self.task.result() if known else TradeState.UNKNOWN


@dataclass(kw_only=True, eq=False)
class Checkout:
    """What the holder of an order's cashier link may see and do.

    `turn(payment_sn, for_ms)` returns whether no other instance queried the attempt within this time.
    """

    orders: OrderService
    payments: PaymentService
    settlement: Settlement
    clock: Clock
    monotonic_s: Callable[[], float]
    return_urls: ReturnUrls
    turn: Callable[[str, int], Awaitable[bool]] = single_instance
    wait_s: float = WAIT_S
    balance: Callable[[int], Awaitable[int | None]] | None = None  # of a user, in fen
    _queries: dict[str, _Query] = field(default_factory=dict, init=False)  # the oldest first
    _running: int = field(default=0, init=False)

    async def get(self, order_sn: str) -> Order:
        """The order as it is stored. Raises OrderNotFound."""
        return await self.orders.get(SYSTEM, order_sn)

    async def refresh(
        self, order_sn: str, *, back_from: Iterable[str] = ()
    ) -> tuple[Order, TradeState | None]:
        """Query the attempts that may still be paid; return the order afterwards, and the first one's state.

        The state is None if there was nothing to query. `back_from` may name the attempt whose
        provider's page the buyer returned from.
        Raises OrderNotFound.
        """
        order = await self.get(order_sn)
        attempts = [p for p in self._to_query(order, back_from) if self.clock() < p.grace_end_ms + QUERIED_MS]
        if not attempts:
            return order, None
        states = await asyncio.gather(*(self._state_of(attempt) for attempt in attempts))
        return await self.get(order_sn), states[0]

    async def pay(
        self, order: Order, chosen: PaymentType, trade_type: str, payer: Payer, *, return_url: str
    ) -> Payment:
        """Open an attempt for the buyer; an empty `trade_type` is the channel's default.

        If the open attempt of another device can't be closed now, return that one: its page is better than
        none, unless it opens in one app alone. Raises what `PaymentService.pay` raises, and TimeoutError.
        """
        actor = Actor(Role.USER, order.user)  # only the buyer has the link
        command = PayOrder(order.order_sn, chosen, trade_type, return_url, payer)
        now_open = order.money.open_payment()
        try:
            async with asyncio.timeout(CHANGE_S if now_open else None):
                return (await self.payments.pay(actor, command)).result.payment
        except (ChannelUnavailable, DependencyDown, TimeoutError):
            if now_open is None or now_open.payment_type is not chosen:
                raise
            if isinstance(now_open.action, BridgeParameters):
                raise
        command = replace(command, trade_type=now_open.trade_type)
        return (await self.payments.pay(actor, command)).result.payment

    async def balance_fen(self, order: Order) -> int | None:
        """The buyer's balance; None if it is not known, or not in time."""
        if self.balance is None:
            return None
        try:
            async with asyncio.timeout(BALANCE_S):
                return await self.balance(order.user)
        except (OrderServiceError, TimeoutError):
            return None

    def pages(self, order: Order) -> tuple[str, str]:
        """The order's return and cancel URLs; empty if not given, or no longer allowed."""
        allowed = self.return_urls.allowed_or_empty
        return allowed(order.return_url), allowed(order.cancel_url)

    def _to_query(self, order: Order, back_from: Iterable[str]) -> list[Payment]:
        """The open attempt, then the one the buyer returned from, which may have been closed meanwhile."""
        now_open = order.money.open_payment()
        returned = next((order.payments[sn] for sn in back_from if sn in order.payments), None)
        found = [now_open] if now_open else []
        if returned and returned is not now_open and not returned.is_paid and order.status in _MAY_BE_PAID:
            found.append(returned)
        return found

    async def _state_of(self, payment: Payment) -> TradeState:
        query = self._query_of(payment)
        if query is None:
            return TradeState.UNKNOWN
        left_s = query.sent_s + self.wait_s - self.monotonic_s()
        await asyncio.wait([query.task], timeout=max(left_s, 0.0))
        return query.state

    def _query_of(self, payment: Payment) -> _Query | None:
        """The query of the last 2 s, otherwise a new one; None if there are too many queries."""
        now_s = self.monotonic_s()
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
                if not await self.turn(payment.payment_sn, round(EVERY_S * 1000)):
                    self._queries.pop(payment.payment_sn, None)  # the next refresh tries again
                    return TradeState.UNKNOWN  # the other instance stores the answer
                return (await self.settlement.query(payment))[1]
        except (OrderServiceError, UnreadableRow, TimeoutError):
            return TradeState.UNKNOWN  # the jobs will query it
        finally:
            self._running -= 1

    async def drain(self) -> None:
        """Wait for the running queries, before the service stops."""
        if tasks := [query.task for query in self._queries.values()]:
            await asyncio.wait(tasks, timeout=QUERY_S)


_UNDECIDED = frozenset({RefundState.REQUESTED, RefundState.AWAITING_RETURN})
_MAY_BE_PAID = frozenset({OrderStatus.PENDING, OrderStatus.CANCELLED})
