"""What a buyer at the cashier sees and does; its provider is asked at once, but sparingly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import takewhile

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, OrderServiceError, Unreadable
from shop_order.domain.ports import Clock
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.actor import SYSTEM, Actor, Role
from shop_order.service.order import OrderService
from shop_order.service.payment import PaymentService, PayOrder
from shop_order.service.return_urls import ReturnUrls
from shop_order.service.settlement import Settlement

EVERY_S = 2.0  # a provider is asked no more often about one attempt, however many look at it
WAIT_S = 2.0  # so long after it was asked a page waits for the answer; the question itself goes on
QUESTION_S = 15.0  # then it is given up
ASKED_MS = 86_400_000  # after an attempt's end a buyer's look asks no more; the jobs do
MOST = 4096  # attempts that are remembered
CHANGE_S = 4.0  # so long a buyer waits for the provider to close the attempt of another device
AT_ONCE = 32  # questions on their way: a provider that hangs must not gather more


async def own_turn(_what: str, _for_ms: int) -> bool:
    """There is no other instance."""
    return True


@dataclass(slots=True)
class _Question:
    asked_s: float
    task: asyncio.Task[str]

    @property
    def said(self) -> str:
        return self.task.result() if self.task.done() and not self.task.cancelled() else ""


class Checkout:
    """Acts for whoever holds an order's link; what a provider says is believed by `Settlement` alone."""

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
        """`turn`: whether no other instance asked about this attempt within so many ms."""
        self._orders = orders
        self._payments = payments
        self._settlement = settlement
        self._now = clock
        self._monotonic_s = monotonic_s
        self._wait_s = wait_s
        self._return_urls = return_urls
        self._turn = turn
        self._questions: dict[str, _Question] = {}  # the oldest first
        self._on_their_way = 0

    async def see(self, order_sn: str) -> Order:
        """The order as it stands, nobody asked. Raises OrderNotFound."""
        return await self._orders.get(SYSTEM, order_sn)

    async def look(self, order_sn: str, *, back_from: str = "") -> tuple[Order, str]:
        """The order, and the state its provider named of what may still bring money: empty if none was asked.

        `back_from` is the attempt from whose page the buyer returned. Raises OrderNotFound.
        """
        order = await self.see(order_sn)
        attempts = [p for p in self._to_ask(order, back_from) if self._now() < p.over_ms + ASKED_MS]
        if not attempts:
            return order, ""
        said = await asyncio.gather(*(self._said(attempt) for attempt in attempts))
        return await self.see(order_sn), said[0]

    async def pay(self, order: Order, chosen: PaymentType, trade_type: str, *, return_url: str) -> Payment:
        """The attempt on whose page the buyer pays; `trade_type` is their device's, empty the channel's own.

        If the provider can't close the attempt of another device now, that one: better the other page than
        none. Raises what `PaymentService.pay` raises, and TimeoutError.
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
        """Where its buyer goes on: once it is paid, and otherwise; empty if not given, or not allowed now."""
        return self._return_urls.still(order.return_url), self._return_urls.still(order.cancel_url)

    def _to_ask(self, order: Order, back_from: str) -> list[Payment]:
        """The open attempt, then the one the buyer came back from, which may have been closed meanwhile."""
        now_open, named = order.open_payment(), order.payments.get(back_from)
        found = [now_open] if now_open else []
        if named and named is not now_open and not named.is_paid and order.status in _MAY_BE_PAID:
            found.append(named)
        return found

    async def _said(self, payment: Payment) -> str:
        question = self._asked(payment)
        if question is None:
            return "unknown"
        left_s = question.asked_s + self._wait_s - self._monotonic_s()
        await asyncio.wait([question.task], timeout=max(left_s, 0.0))
        return question.said or "unknown"

    def _asked(self, payment: Payment) -> _Question | None:
        """The question of the last 2 s, otherwise a new one; None where there are too many."""
        now_s = self._monotonic_s()
        self._forget(now_s)
        known = self._questions.get(payment.payment_sn)
        if known and (not known.task.done() or now_s - known.asked_s < EVERY_S):
            return known
        if len(self._questions) >= MOST or self._on_their_way >= AT_ONCE:
            return None
        self._questions.pop(payment.payment_sn, None)
        question = _Question(now_s, asyncio.create_task(self._ask(payment)))
        self._questions[payment.payment_sn] = question
        return question

    def _forget(self, now_s: float) -> None:
        old = list(takewhile(lambda one: now_s - one[1].asked_s >= EVERY_S, self._questions.items()))
        for sn, question in old:
            if question.task.done():
                del self._questions[sn]

    async def _ask(self, payment: Payment) -> str:
        self._on_their_way += 1
        try:
            async with asyncio.timeout(QUESTION_S):
                if not await self._turn(payment.payment_sn, round(EVERY_S * 1000)):
                    self._questions.pop(payment.payment_sn, None)  # the next look may have its turn
                    return "unknown"  # what the other instance learns, it stores
                return (await self._settlement.look(payment))[1]
        except (OrderServiceError, Unreadable, TimeoutError):
            return "unknown"  # the jobs ask again in their turn
        finally:
            self._on_their_way -= 1

    async def drain(self) -> None:
        """Wait for the questions on their way; at stop."""
        if tasks := [question.task for question in self._questions.values()]:
            await asyncio.wait(tasks, timeout=QUESTION_S)


_MAY_BE_PAID = frozenset({OrderStatus.PENDING, OrderStatus.CANCELLED})
