"""The money of an order: its payment attempts and refunds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import AmountMismatch, IllegalTransition
from shop_order.domain.status import (
    SETTLED_REFUND,
    PaymentState,
    RefundState,
    RefundStatus,
)

MAX_QUERIED = 5  # attempts of one order whose provider is queried before the order times out


@dataclass(slots=True)
class Money:
    """Attempts and refunds by number. `Order` decides when money moves and records it in its history."""

    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)

    # ---- payments ----

    def open(self, payment: Payment) -> None:
        """Add an attempt. Raises IllegalTransition if another one is open, or this one was closed."""
        if earlier := self.open_payment() or self.payments.get(payment.payment_sn):
            raise IllegalTransition(earlier.state.name, "SECOND_ATTEMPT")
        self.payments[payment.payment_sn] = payment

    def close(self, payment_sn: str, reason: str = "") -> Payment | None:
        """Close the attempt, or note why its channel refused one that was closed before; return it.

        Return None if nothing changed.
        """
        payment = self.payments[payment_sn]
        if payment.is_open:
            closed = payment.closed(reason)
        elif reason and payment.state is PaymentState.CLOSED and not payment.close_reason:
            closed = payment.explained(reason)
        else:
            return None
        self.payments[payment_sn] = closed
        return closed

    def receive(self, payment_sn: str, *, trade_no: str, amount_fen: int, paid_ms: int) -> Payment | None:
        """Mark the attempt as paid and return it, or None if it was paid already.

        Raises AmountMismatch for another amount, or another trade number than before.
        """
        payment = self.payments[payment_sn]
        if amount_fen != payment.amount_fen:
            raise AmountMismatch("amount")
        if payment.is_paid:
            if payment.trade_no != trade_no:
                raise AmountMismatch("trade_no")
            return None
        self.payments[payment_sn] = paid = payment.paid(trade_no=trade_no, paid_ms=paid_ms)
        return paid

    def open_payment(self) -> Payment | None:
        """The open attempt; there is at most one."""
        return next((p for p in self.payments.values() if p.is_open), None)

    def attempts_to_query(self, *, unpaid: bool) -> list[Payment]:
        """The attempts to ask the provider about, newest first: the open one and, if the order is unpaid,
        closed ones too, since a provider cannot close an attempt that no buyer has opened yet."""
        found = [p for p in self.payments.values() if p.is_open or (unpaid and not p.is_paid)]
        return sorted(found, key=lambda p: (p.created_ms, p.payment_sn), reverse=True)[:MAX_QUERIED]

    def latest(self) -> Payment | None:
        """The latest paid attempt, otherwise the latest."""
        return max(
            self.payments.values(), key=lambda p: (p.is_paid, p.created_ms, p.payment_sn), default=None
        )

    # ---- refunds ----

    def add(self, refund: Refund) -> Refund:
        """Add a refund."""
        self.refunds[refund.refund_sn] = refund
        return refund

    def move(self, refund_sn: str, to: RefundState, **changes: Any) -> Refund:
        """Move the refund to another state, with other fields. Raises IllegalTransition."""
        self.refunds[refund_sn] = refund = self.refunds[refund_sn].to(to, **changes)
        return refund

    def note(self, refund_sn: str, **changes: Any) -> Refund:
        """Set fields of the refund; its state stays."""
        self.refunds[refund_sn] = refund = replace(self.refunds[refund_sn], **changes)
        return refund

    def refunded(self, refund_sn: str, to: RefundState, **changes: Any) -> Refund:
        """Record that the buyer has the money of a refund. Raises IllegalTransition."""
        refund = self.move(refund_sn, to, **changes)
        self.payments[refund.payment_sn] = self.payments[refund.payment_sn].refunded(refund.amount_fen)
        return refund

    def own_refunds(self) -> Sequence[Refund]:
        """The live refunds of the money that paid the order, without surplus payments."""
        return [refund for refund in self.refunds.values() if refund.is_live and not refund.surplus]

    def refund_status(self, pay_fen: int) -> RefundStatus:
        """How much of the money for an order of `pay_fen` was refunded.

        A failed refund stays open, since its money is still owed. A refund of a late payment counts. One of a
        duplicate payment does not: the order keeps the money that paid it.
        """
        if not self.refunds:
            return RefundStatus.NONE
        own = [refund for refund in self.refunds.values() if not refund.surplus or refund.is_late]
        if any(refund.is_open or refund.state is RefundState.FAILED for refund in own):
            return RefundStatus.OPEN
        refunded_fen = sum(refund.amount_fen for refund in own if refund.is_refunded)
        if not refunded_fen:
            return RefundStatus.NONE
        return RefundStatus.WHOLE if refunded_fen >= pay_fen else RefundStatus.PART

    def refunds_fen(self) -> tuple[int, int]:
        """Amounts still to be refunded and already refunded, in fen; a failed refund is still owed."""
        live = [refund for refund in self.refunds.values() if refund.is_live]
        refunded_fen = sum(refund.amount_fen for refund in live if refund.is_refunded)
        return sum(refund.amount_fen for refund in live) - refunded_fen, refunded_fen

    @property
    def is_settled(self) -> bool:
        """Whether no attempt is open, and every refund was paid or refused."""
        return not self.open_payment() and all(r.state in SETTLED_REFUND for r in self.refunds.values())
