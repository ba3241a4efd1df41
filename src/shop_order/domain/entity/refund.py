"""Refunds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shop_order.domain.event.order_events import LATE_PAYMENT
from shop_order.domain.status import OPEN_REFUND, REFUND_TRANSITIONS, RefundState, advance


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of one payment. The provider knows it by `refund_sn`, which never changes.

    `surplus` marks money that the order does not take: paid too late, or twice (see `reason`).
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
        """What the order's history records of the refund, beside its reason."""
        return {"refund_sn": self.refund_sn, "payment_sn": self.payment_sn, "amount_fen": self.amount_fen}

    def to(self, state: RefundState, *, finished_ms: int = 0) -> Refund:
        """The refund in another state. Raises IllegalTransition."""
        return replace(self, state=advance(REFUND_TRANSITIONS, self.state, state), finished_ms=finished_ms)
