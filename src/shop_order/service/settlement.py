"""Settling what was left open with the providers: unheard notices, attempts to close, refunds to send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import AmountMismatch, ChannelUnavailable, Unreadable
from shop_order.domain.ports import Clock, OnUnreadable, Orders, Payments, Trade
from shop_order.domain.status import OrderStatus
from shop_order.service.payment import Alert, PaymentService

BATCH = 32  # asked side by side: a provider that is slow, or hangs, must not hold up the others
STUCK_MS = 600_000  # after an attempt's end: then a person should know that its provider does not
ASK_BACKOFF_MS = (30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000)
REFUND_BACKOFF_MS = (5_000, 15_000, 60_000, 300_000, 1_800_000)


class Settlement:
    """Background use cases; each call does one bounded batch."""

    def __init__(
        self,
        *,
        orders: Orders,
        payments: Payments,
        paying: PaymentService,
        on_unreadable: OnUnreadable,
        clock: Clock,
        alert: Alert,
    ) -> None:
        self._orders = orders
        self._on_unreadable = on_unreadable
        self._payments = payments
        self._paying = paying
        self._now = clock
        self._alert = alert

    async def ask_due(self) -> int:
        """Ask providers about attempts that may have money nobody told us of; how many were asked.

        Raises what the first of them met, after all had their turn.
        """
        due = await self._payments.to_ask(self._now(), BATCH)
        await all_of(self._telling(self._ask_in_turn(payment, tries)) for payment, tries in due)
        return len(due)

    async def _telling(self, turn: Awaitable[None]) -> None:
        """Of a row that can't be read; its next turn comes later and later, like any other's."""
        try:
            await turn
        except Unreadable as row:
            self._on_unreadable(row)

    async def _ask_in_turn(self, payment: Payment | Unreadable, tries: int) -> None:
        number = payment.number if isinstance(payment, Unreadable) else payment.payment_sn
        await self._payments.ask_later(number, self._now() + backoff(ASK_BACKOFF_MS, tries))
        if isinstance(payment, Unreadable):
            raise payment
        known = await self.ask(payment)
        if known and not payment.is_open:
            await self._payments.ask_no_more(payment.payment_sn)
        elif not known and self._now() > payment.expire_ms + STUCK_MS:
            self._alert("payment_stuck", order_sn=payment.order_sn, payment_sn=payment.payment_sn)

    async def ask(self, payment: Payment) -> bool:
        """Learn what became of an attempt; whether that is its end."""
        payment, said = await self.look(payment)
        if said == "unknown":
            return False
        return payment.is_paid or (self._now() >= payment.over_ms and not payment.is_open)

    async def look(self, payment: Payment) -> tuple[Payment, str]:
        """Ask the provider of an attempt and believe it; the attempt afterwards, and the state it named.

        It is closed when nobody wants its money any more, or its time is over. `unknown` is also what must
        not be believed (the alert is out; nothing may move until an operator has looked), and what a channel
        says that is not configured now.
        """
        try:
            trade = await self._paying.channel(payment.payment_type).query(payment.payment_sn)
            if trade.state in ("paid", "closed"):
                return await self._paying.believe(payment.payment_sn, trade), trade.state
            # What no buyer has opened can't be closed: until its link ends, money may come without a notice.
            over = self._now() >= payment.over_ms
            if trade.state != "unknown" and (over or await self._is_unwanted(payment, trade)):
                payment = await self._paying.close(payment)
        except (AmountMismatch, ChannelUnavailable):
            return payment, "unknown"
        return payment, trade.state

    async def _is_unwanted(self, payment: Payment, trade: Trade) -> bool:
        """A buyer is about to pay, though the order is decided or is paid in another way."""
        if trade.state != "waiting" or not payment.is_open:
            return trade.state == "waiting"
        return (await self._orders.get(payment.order_sn)).status is not OrderStatus.PENDING

    async def refund_due(self) -> int:
        """Send refunds that were approved, and ask again about those without an answer; how many.

        Raises what the first of them met, after all had their turn.
        """
        due = await self._payments.to_refund(self._now(), BATCH)
        await all_of(self._telling(self._refund_in_turn(refund, tries)) for refund, tries in due)
        return len(due)

    async def _refund_in_turn(self, refund: Refund, tries: int) -> None:
        await self._payments.refund_later(refund.refund_sn, self._now() + backoff(REFUND_BACKOFF_MS, tries))
        known = await self._refund(refund)
        if not known and tries >= len(REFUND_BACKOFF_MS) - 1:  # after minutes; then every half hour
            self._alert("refund_stuck", order_sn=refund.order_sn, refund_sn=refund.refund_sn, tries=tries)

    async def _refund(self, refund: Refund) -> bool:
        """Whether its end is known now."""
        sn = refund.refund_sn

        def sent(order: Order) -> Payment:
            order.refund_sent(sn, self._now())
            return order.payments[refund.payment_sn]

        def succeeded(order: Order) -> None:
            order.refund_succeeded(sn, self._now())

        def failed(order: Order) -> None:
            order.refund_failed(sn, self._now())

        _, payment = await self._orders.change(refund.order_sn, sent)
        try:
            answer = await self._paying.channel(payment.payment_type).refund(
                payment_sn=refund.payment_sn, refund_sn=sn, amount_fen=refund.amount_fen, reason=refund.reason
            )
        except ChannelUnavailable:
            return False  # not configured now: its turn comes again
        if answer == "succeeded":
            await self._orders.change(refund.order_sn, succeeded)
        elif answer == "failed":
            self._alert("refund_failed", order_sn=refund.order_sn, refund_sn=sn)
            await self._orders.change(refund.order_sn, failed)
        return answer != "unknown"


async def all_of(turns: Iterable[Awaitable[None]]) -> None:
    """Let all have their turn, side by side. Raises what the first of them met, afterwards."""
    for end in await asyncio.gather(*turns, return_exceptions=True):
        if isinstance(end, BaseException):
            raise end


def backoff(steps_ms: tuple[int, ...], tries: int) -> int:
    """How long to wait after so many tries; the last step repeats."""
    return steps_ms[min(tries, len(steps_ms) - 1)]
