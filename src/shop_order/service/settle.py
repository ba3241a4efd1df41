"""Settles open attempts and refunds with the providers: lost notices, attempts to close, refunds to send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Done, Payment
from shop_order.domain.entity.refund import ABNORMAL, CLOSED, REFUND_TOO_LATE, REFUSED, Refund
from shop_order.domain.errors import AmountMismatch, ChannelUnavailable, UnreadableRow
from shop_order.domain.event.order_events import PAYMENT_OPENED, REFUND_SENT
from shop_order.domain.ports import (
    Clock,
    OnUnreadable,
    Orders,
    Outbox,
    Payments,
    RefundResult,
    Trade,
    TradeState,
)
from shop_order.domain.status import DUE_REFUND, OrderStatus, RefundState
from shop_order.service.alerts import Alert
from shop_order.service.attempts import Attempts
from shop_order.service.channels import Channels
from shop_order.service.shipping import Shipping

BATCH = 32  # concurrently, so that a slow provider does not delay the others
STUCK_MS = 600_000  # after an attempt expired: alert if its provider still does not answer
QUERY_BACKOFF_MS = (30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000)
BANK_TRIES = 4 + 3 * 48  # three days of half hours: banks take that long
FAILURES = {
    RefundResult.FAILED: REFUSED,
    RefundResult.CLOSED: CLOSED,
    RefundResult.ABNORMAL: ABNORMAL,
    RefundResult.TOO_LATE: REFUND_TOO_LATE,
}
REFUND_BACKOFF_MS = (5_000, 15_000, 60_000, 300_000, 1_800_000)


@dataclass(kw_only=True, eq=False)
class Settlement:
    """Background use cases; each call handles one batch."""

    orders: Orders
    payments: Payments
    outbox: Outbox
    channels: Channels
    attempts: Attempts
    shipping: Shipping
    on_unreadable: OnUnreadable
    clock: Clock
    alert: Alert

    async def query_due(self) -> int:
        """Query attempts that may have been paid without a notice; return how many.

        Raises the first error, after all were tried.
        """
        due = await self.payments.due_queries(self.clock(), BATCH)
        await run_all(self._reporting(self._query_one(payment, tries)) for payment, tries in due)
        return len(due)

    async def _reporting(self, task: Awaitable[None]) -> None:
        """Report a row that can't be read; it is retried with growing delays, like any other."""
        try:
            await task
        except UnreadableRow as row:
            self.on_unreadable(row)

    async def _query_one(self, payment: Payment | UnreadableRow, tries: int) -> None:
        number = payment.number if isinstance(payment, UnreadableRow) else payment.payment_sn
        next_ms = self.clock() + backoff(QUERY_BACKOFF_MS, tries)
        await self.payments.postpone_query(number, next_ms)
        if isinstance(payment, UnreadableRow):
            raise payment
        if payment.awaits_shipping:
            known = await self.shipping.tell(payment, tries)
        else:
            known = await self.settle(payment)
        if known and not payment.is_open:
            # Not if its order was paid or shipped meanwhile: that may have to be told.
            await self.payments.stop_queries(payment, next_ms)
        elif not known and not payment.is_paid:
            await self._request_again(payment, PAYMENT_OPENED, payment.payment_sn)
            if self.clock() > payment.expire_ms + STUCK_MS:
                self.alert("payment_stuck", order_sn=payment.order_sn, payment_sn=payment.payment_sn)

    async def _request_again(self, payment: Payment, event: str, number: str) -> None:
        """Repeat a request that is an event: the message, or its answer, may have been lost."""
        if isinstance(payment.action, Done):
            await self.outbox.publish_again(payment.order_sn, event, number, self.clock())

    async def settle(self, payment: Payment) -> bool:
        """Query an attempt; return whether its final state is known."""
        payment, state = await self.query(payment)
        if state is TradeState.UNKNOWN:
            return False
        return payment.is_paid or (self.clock() >= payment.grace_end_ms and not payment.is_open)

    async def query(self, payment: Payment) -> tuple[Payment, TradeState]:
        """Query the provider and apply its answer; return the attempt afterwards, and the provider's state.

        Close the attempt if it has expired, or if its order no longer needs it. The state is UNKNOWN also if
        the answer contradicts our data (after an alert; an operator must decide), or if the channel is not
        configured now.
        """
        try:
            trade = await self.attempts.query(payment)
            if trade.state in (TradeState.PAID, TradeState.CLOSED):
                return await self.attempts.apply_trade(payment.payment_sn, trade), trade.state
            # An attempt that no buyer has opened can't be closed: until its link expires, it may be paid
            # without a notice.
            over = self.clock() >= payment.grace_end_ms
            if trade.state is not TradeState.UNKNOWN and (over or await self._is_unwanted(payment, trade)):
                payment = await self.attempts.close(payment)
        except (AmountMismatch, ChannelUnavailable):
            return payment, TradeState.UNKNOWN
        return payment, trade.state

    async def _is_unwanted(self, payment: Payment, trade: Trade) -> bool:
        """Whether a buyer is about to pay, though the order no longer waits for payment."""
        if trade.state is not TradeState.WAITING or not payment.is_open:
            return trade.state is TradeState.WAITING
        return (await self.orders.get(payment.order_sn)).status is not OrderStatus.PENDING

    async def refund_due(self) -> int:
        """Send approved refunds, and those without a result again; return how many.

        Raises the first error, after all were tried.
        """
        due = await self.payments.due_refunds(self.clock(), BATCH)
        await run_all(self._reporting(self._refund_one(refund, tries)) for refund, tries in due)
        return len(due)

    async def _refund_one(self, refund: Refund | UnreadableRow, tries: int) -> None:
        number = refund.number if isinstance(refund, UnreadableRow) else refund.refund_sn
        next_ms = self.clock() + backoff(REFUND_BACKOFF_MS, tries)
        await self.payments.postpone_refund(number, next_ms)
        if isinstance(refund, UnreadableRow):
            raise refund
        left = await self._refund(refund, tries, next_ms)
        patience = BANK_TRIES if left is RefundResult.PROCESSING else len(REFUND_BACKOFF_MS)
        if left and tries >= patience:  # after half an hour, then every half hour
            self.alert("refund_stuck", order_sn=refund.order_sn, refund_sn=refund.refund_sn, tries=tries)

    async def _refund(self, refund: Refund, tries: int, next_ms: int) -> RefundResult | None:
        """Send a refund if it is approved; return the provider's answer, None if nothing is left to do.

        One that failed is only asked about, since a bill says that it did not; after the last of `tries` no
        more.
        """
        sn = refund.refund_sn

        def sent(order: Order) -> tuple[Payment, Refund]:
            after_sales.sent(order, sn, self.clock())
            return order.payments[refund.payment_sn], order.refunds[sn]

        def succeeded(order: Order) -> None:
            after_sales.succeeded(order, sn, self.clock())

        _, (payment, refund) = await self.orders.change(refund.order_sn, sent)
        asks_only = refund.state is RefundState.FAILED
        if refund.state not in DUE_REFUND and not asks_only:
            return None
        try:
            result = await self._send(payment, refund)
        except ChannelUnavailable:
            return RefundResult.UNKNOWN  # not configured now: retried later
        if result is RefundResult.SUCCEEDED:
            await self.orders.change(refund.order_sn, succeeded)
        elif asks_only and (tries >= len(REFUND_BACKOFF_MS) - 1 or result in FAILURES):
            await self.payments.stop_refund(sn, next_ms)
            return None
        elif failure := FAILURES.get(result):
            self.alert("refund_failed", order_sn=refund.order_sn, refund_sn=sn, failure=failure)
            asked = refund.out_refund_no
            await self.orders.change(
                refund.order_sn,
                lambda order: after_sales.failed(order, sn, self.clock(), failure=failure, asked=asked),
            )
        elif tries > 0:
            await self._request_again(payment, REFUND_SENT, refund.out_refund_no)
        return None if result is RefundResult.SUCCEEDED or result in FAILURES else result

    async def _send(self, payment: Payment, refund: Refund) -> RefundResult:
        channel = self.channels.get(payment.payment_type)
        if refund.state is RefundState.FAILED:
            return await channel.query_refund(refund)
        result = await channel.refund(payment, refund=refund)
        if result in (RefundResult.PROCESSING, RefundResult.CLOSED):  # a new number needs a query first
            result = await channel.query_refund(refund)
        return result


async def run_all(tasks: Iterable[Awaitable[None]]) -> None:
    """Run all of them concurrently, then raise the first error."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def backoff(steps_ms: tuple[int, ...], tries: int) -> int:
    """How long to wait after this many tries, any number; the last step repeats."""
    return steps_ms[max(0, min(tries, len(steps_ms) - 1))]
