"""Queries providers about payment attempts, and applies their answers to orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import Clock, Orders, Payments, Trade, TradeNoTaken, TradeState
from shop_order.domain.valueobject.parties import SYSTEM
from shop_order.service.alerts import Alert
from shop_order.service.channels import Channels

MAX_AHEAD_MS = 86_400_000  # a payment time further in the future is more than clock skew


@dataclass(kw_only=True, eq=False)
class Attempts:
    """Queries and closes attempts at their providers, and applies the answers to the orders."""

    orders: Orders
    payments: Payments
    channels: Channels
    clock: Clock
    next_refund_sn: Callable[[], str]
    alert: Alert

    async def find(self, payment_sn: str, payment_type: int | None = None) -> Payment:
        """The attempt of this channel. Raises AmountMismatch if there is none."""
        if (payment := await self.payments.find(payment_sn)) is None:
            raise AmountMismatch("payment")
        if payment_type not in (None, payment.payment_type):
            raise AmountMismatch("payment_type")
        return payment

    async def query(self, payment: Payment) -> Trade:
        """The state at the provider; UNKNOWN, after an alert, if its answer is out of bounds.

        Raises ChannelUnavailable.
        """
        channel = self.channels.get(payment.payment_type)
        return await self._answer(payment, channel.query(payment.payment_sn))

    async def close(self, payment: Payment) -> Payment:
        """Close the attempt at its provider, or accept its payment if it was paid already.

        The attempt stays open if the provider's answer is unknown. Raises ChannelUnavailable.
        """
        channel = self.channels.get(payment.payment_type)
        trade = await self._answer(payment, channel.close(payment.payment_sn))
        if trade.state is TradeState.ABSENT:
            trade = Trade(TradeState.CLOSED)  # its link still works until it expires: it is queried again
        return await self.apply_trade(payment.payment_sn, trade)

    async def apply_trade(self, payment_sn: str, trade: Trade) -> Payment:
        """Apply the provider's state of an attempt to its order; return the attempt afterwards.

        Raises AmountMismatch (after an alert).
        """
        with self.alerting(payment_sn, trade.trade_no):
            return await self.apply(await self.find(payment_sn), trade)

    async def apply(self, payment: Payment, trade: Trade) -> Payment:
        """`apply_trade` for a known attempt, without the alert. Raises AmountMismatch."""
        if trade.state is TradeState.PAID:
            return await self._pay(payment, trade)
        if trade.state is TradeState.CLOSED and payment.is_open:
            sn = payment.payment_sn

            def close(order: Order) -> None:
                order.close_attempt(sn, SYSTEM, self.clock())

            return (await self.orders.change(payment.order_sn, close))[0].payments[sn]
        return payment

    async def _pay(self, payment: Payment, trade: Trade) -> Payment:
        if trade.paid_ms > self.clock() + MAX_AHEAD_MS:
            raise AmountMismatch("paid_ms")  # no reconciled day would ever contain it
        sn = payment.payment_sn
        refund_sn = self.next_refund_sn()  # drawn here, since the store's thread must not draw numbers

        def arrive(order: Order) -> None:
            order.receive_payment(
                sn,
                trade_no=trade.trade_no,
                amount_fen=trade.amount_fen,
                paid_ms=trade.paid_ms or self.clock(),
                now_ms=self.clock(),
                refund_sn=refund_sn,
            )

        seller = self.channels.seller(payment.payment_type)
        try:
            return (await self.orders.change(payment.order_sn, arrive, seller=seller))[0].payments[sn]
        except TradeNoTaken as taken:
            raise AmountMismatch("trade_no") from taken

    async def _answer(self, payment: Payment, asking: Awaitable[Trade]) -> Trade:
        try:
            with self.alerting(payment.payment_sn):
                return await asking
        except AmountMismatch:
            return Trade(TradeState.UNKNOWN)

    @contextmanager
    def alerting(self, payment_sn: str, trade_no: str = "") -> Iterator[None]:
        """Alert the operator of an AmountMismatch, and re-raise it."""
        try:
            yield
        except AmountMismatch as wrong:
            self.alert("notice_mismatch", payment_sn=payment_sn, trade_no=trade_no, **wrong.details)
            raise
