"""Money on its way back to the buyer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shop_order.domain.status import OPEN_REFUND, REFUND_TRANSITIONS, RefundState, advance


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of one payment; its number is sent to the provider and never changes.

    `surplus` marks money the order never took (paid too late, or twice): it does not hold up the order.
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
        """Not decided or not settled yet."""
        return self.state in OPEN_REFUND

    def to(self, state: RefundState, *, finished_ms: int = 0) -> Refund:
        """Move to `state`. Raises IllegalTransition."""
        return replace(self, state=advance(REFUND_TRANSITIONS, self.state, state), finished_ms=finished_ms)
