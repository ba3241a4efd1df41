"""The wallet's answers: debits, rejections and refunds of balance payments (decision balance)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import AmountMismatch, Forbidden
from shop_order.domain.event.wallet_events import DEBITED, REFUNDED, REJECTED, WalletAnswer
from shop_order.domain.ports import Clock, Orders, Trade, TradeState
from shop_order.domain.status import PaymentType, RefundState
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.service.alerts import Alert
from shop_order.service.attempts import Attempts

NO_REASON = "REJECTED"


@dataclass(kw_only=True, eq=False)
class WalletAnswers:
    """Applies answers to orders. An answer may come late, twice, or never; what contradicts us is refused."""

    orders: Orders
    attempts: Attempts
    clock: Clock
    alert: Alert
    wallets: Collection[str]  # names of the services whose answers move money

    def check_caller(self, actor: Actor) -> None:
        """Raise Forbidden unless the actor is a wallet."""
        if actor.role is not Role.SERVICE or actor.service not in self.wallets:
            raise Forbidden

    async def take(self, answer: WalletAnswer) -> None:
        """Apply an answer. Idempotent.

        Raises AmountMismatch, after an alert, if the payment or refund is unknown, or has another user,
        amount or state; nothing changes then.
        """
        with self.attempts.alerting(answer.payment_sn, answer.refund_sn):
            payment = await self.attempts.find(answer.payment_sn, PaymentType.BALANCE)
            if payment.user != answer.user_id:
                raise AmountMismatch("user")
            if answer.type == DEBITED and not answer.refund_sn:
                await self.attempts.apply(payment, Trade(TradeState.PAID, amount_fen=answer.amount_fen))
            elif answer.type == REJECTED and not answer.refund_sn:
                await self._reject(payment, answer)
            elif answer.type in (REFUNDED, REJECTED) and answer.refund_sn:
                await self._end_refund(payment, answer)
            else:
                raise AmountMismatch("type")

    async def _reject(self, payment: Payment, answer: WalletAnswer) -> None:
        sn = payment.payment_sn
        if answer.amount_fen != payment.amount_fen:
            raise AmountMismatch("amount")

        def close(order: Order) -> None:
            if order.payments[sn].is_paid:
                raise AmountMismatch("state")
            order.close_attempt(sn, SYSTEM, self.clock(), reason=answer.reason or NO_REASON)

        await self.orders.change(payment.order_sn, close)

    async def _end_refund(self, payment: Payment, answer: WalletAnswer) -> None:
        """Record that the wallet has refunded, or refuses to."""

        def end(order: Order) -> Refund | None:
            refund = _refund_of(order, answer)
            if answer.type == REFUNDED:
                _succeed(order, refund, self.clock())
                return None
            if refund.state is RefundState.FAILED:
                return None
            _require_sent(refund)
            after_sales.failed(order, refund.refund_sn, self.clock())
            return refund

        _, refund = await self.orders.change(payment.order_sn, end)
        if refund:
            about = {"order_sn": refund.order_sn, "refund_sn": refund.refund_sn}
            self.alert("refund_failed", **about, failure=answer.reason)


def _refund_of(order: Order, answer: WalletAnswer) -> Refund:
    """Return the refund that an answer is about. Raises AmountMismatch."""
    found = [one for one in order.refunds.values() if one.out_refund_no == answer.refund_sn]
    if not found or found[0].payment_sn != answer.payment_sn:
        raise AmountMismatch("refund")
    if found[0].amount_fen != answer.amount_fen:
        raise AmountMismatch("amount")
    return found[0]


def _succeed(order: Order, refund: Refund, now_ms: int) -> None:
    """Record the refund, also if the wallet refused it before. Raises AmountMismatch."""
    if refund.state is RefundState.SUCCEEDED:
        return
    if refund.state is not RefundState.FAILED:
        _require_sent(refund)
    after_sales.succeeded(order, refund.refund_sn, now_ms)


def _require_sent(refund: Refund) -> None:
    """Raise AmountMismatch for a refund that the wallet can't know, or that was settled by hand."""
    if refund.state not in (RefundState.SENT, RefundState.UNKNOWN):
        raise AmountMismatch("state")
