"""The money of an order: its payment attempts and refunds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch, IllegalTransition
from shop_order.domain.event.order_events import LATE_PAYMENT
from shop_order.domain.status import (
    OPEN_REFUND,
    REFUND_TRANSITIONS,
    SETTLED_REFUND,
    RefundState,
    RefundStatus,
    advance,
)

MAX_QUERIED = 5  # attempts of one order whose provider is queried before the order times out


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of one payment. The provider knows it by `refund_sn`, which never changes.

    `surplus` marks a payment that the order does not keep: too late, or a duplicate (see `reason`).
    """

    refund_sn: str
    payment_sn: str
    order_sn: str
    amount_fen: int
    state: RefundState
    reason: str
    surplus: bool
    created_ms: int
    finished_ms: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is not decided or not settled yet."""
        return self.state in OPEN_REFUND

    @property
    def is_late(self) -> bool:
        """Whether it refunds money that arrived after the order was cancelled."""
        return self.surplus and self.reason == LATE_PAYMENT

    def event_data(self) -> dict[str, object]:
        """What the order's history records of the refund, besides its reason."""
        return {"refund_sn": self.refund_sn, "payment_sn": self.payment_sn, "amount_fen": self.amount_fen}

    def to(self, state: RefundState, *, finished_ms: int = 0) -> Refund:
        """The refund in another state. Raises IllegalTransition."""
        return replace(self, state=advance(REFUND_TRANSITIONS, self.state, state), finished_ms=finished_ms)


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
        """Close the attempt and return it, or None unless it was open."""
        payment = self.payments[payment_sn]
        if not payment.is_open:
            return None
        self.payments[payment_sn] = closed = payment.closed(reason)
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

    def request_surplus_refund(self, refund_sn: str, payment: Payment, reason: str, now_ms: int) -> Refund:
        """Add a refund of a whole payment that the order does not keep."""
        self.refunds[refund_sn] = refund = Refund(
            refund_sn,
            payment.payment_sn,
            payment.order_sn,
            payment.amount_fen,
            RefundState.REQUESTED,
            reason,
            surplus=True,
            created_ms=now_ms,
        )
        return refund

    def approve_refund(self, refund_sn: str) -> Refund:
        """Mark the refund as approved. Raises IllegalTransition."""
        return self._move(refund_sn, RefundState.APPROVED)

    def send_refund(self, refund_sn: str) -> Refund | None:
        """Mark the refund as sent and return it, or None unless it was approved."""
        if self.refunds[refund_sn].state is not RefundState.APPROVED:
            return None
        return self._move(refund_sn, RefundState.SENT)

    def complete_refund(self, refund_sn: str, now_ms: int) -> Refund | None:
        """Mark the refund as succeeded and return it, or None if it was before. Raises IllegalTransition."""
        if self.refunds[refund_sn].state is RefundState.SUCCEEDED:
            return None
        refund = self._move(refund_sn, RefundState.SUCCEEDED, finished_ms=now_ms)
        self.payments[refund.payment_sn] = self.payments[refund.payment_sn].refunded(refund.amount_fen)
        return refund

    def fail_refund(self, refund_sn: str, now_ms: int) -> Refund:
        """Mark the refund as failed. Raises IllegalTransition."""
        return self._move(refund_sn, RefundState.FAILED, finished_ms=now_ms)

    def _move(self, refund_sn: str, to: RefundState, *, finished_ms: int = 0) -> Refund:
        self.refunds[refund_sn] = refund = self.refunds[refund_sn].to(to, finished_ms=finished_ms)
        return refund

    def refund_status(self, pay_fen: int) -> RefundStatus:
        """How much of the money for an order of `pay_fen` was refunded.

        A refund of a late payment counts, and stays open if it fails, since it must be returned. A
        refund of a duplicate payment does not count: the order keeps the money that paid it.
        """
        own = [refund for refund in self.refunds.values() if not refund.surplus or refund.is_late]
        if any(refund.is_open or (refund.is_late and refund.state is RefundState.FAILED) for refund in own):
            return RefundStatus.OPEN
        refunded_fen = sum(refund.amount_fen for refund in own if refund.state is RefundState.SUCCEEDED)
        if not refunded_fen:
            return RefundStatus.NONE
        return RefundStatus.WHOLE if refunded_fen >= pay_fen else RefundStatus.PART

    def refunds_fen(self) -> tuple[int, int]:
        """Amounts still to be refunded and already refunded, in fen; a failed refund is still owed."""
        accepted = [r for r in self.refunds.values() if r.state is not RefundState.REJECTED]
        refunded_fen = sum(r.amount_fen for r in accepted if r.state in SETTLED_REFUND)
        return sum(r.amount_fen for r in accepted) - refunded_fen, refunded_fen

    @property
    def is_settled(self) -> bool:
        """Whether no attempt is open, and every refund succeeded or was rejected."""
        return not self.open_payment() and all(r.state in SETTLED_REFUND for r in self.refunds.values())
