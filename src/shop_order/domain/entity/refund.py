"""One refund of a payment: by request of the buyer, or of money that the order does not keep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import IllegalTransition
from shop_order.domain.event.order_events import LATE_PAYMENT
from shop_order.domain.refund_errors import RefundAbnormal, RefundTooLate
from shop_order.domain.status import (
    LIVE_REFUND,
    OPEN_REFUND,
    REFUND_TRANSITIONS,
    REFUNDED,
    RefundState,
    RefundType,
    advance,
)

# Why a refund failed at the provider.
REFUSED = "REFUSED"  # for now: it may be sent again under the same number
CLOSED = "CLOSED"  # the provider closed the number: it may be sent again under a new one
ABNORMAL = "ABNORMAL"  # the money can't reach the buyer: settled by hand
REFUND_TOO_LATE = "REFUND_TOO_LATE"  # past the provider's limit: settled by hand


@dataclass(frozen=True, slots=True)
class RefundLine:
    """Pieces of one product whose money is refunded; `share_fen` is their part of what the goods cost."""

    goods: int
    nums: int
    share_fen: int


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of one payment. Amounts in fen, times in epoch ms.

    Callers know it by `refund_sn`, the provider by `out_refund_no`: both are equal until the provider closes
    that number. `surplus` marks a payment that the order does not keep: too late, or a duplicate (`reason`).
    Without lines it is of an amount alone, and no goods come back. `freight_fen` is a part of the amount.
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
    user: int = 0
    type: RefundType = RefundType.REFUND_ONLY
    lines: tuple[RefundLine, ...] = ()
    freight_fen: int = 0
    requested_by: str = "SYSTEM"  # BUYER, ADMIN or SYSTEM
    approvals: int = 0
    approver: int = 0  # the admin who gave the first of two approvals
    decision: str = ""  # the reason given with the last decision
    parcel_company: str = ""
    parcel_no: str = ""
    failure: str = ""
    out_refund_no: str = ""

    def __post_init__(self) -> None:
        if not self.out_refund_no:
            object.__setattr__(self, "out_refund_no", self.refund_sn)

    @property
    def is_open(self) -> bool:
        """Whether it is not decided or not settled yet."""
        return self.state in OPEN_REFUND

    @property
    def is_live(self) -> bool:
        """Whether its money was promised or is asked for: neither rejected nor withdrawn."""
        return self.state in LIVE_REFUND

    @property
    def is_decided(self) -> bool:
        """Whether it was approved."""
        return self.is_live and self.state is not RefundState.REQUESTED

    @property
    def is_refunded(self) -> bool:
        """Whether the buyer has the money, from the provider or by hand."""
        return self.state in REFUNDED

    @property
    def is_late(self) -> bool:
        """Whether it refunds money that arrived after the order was cancelled."""
        return self.surplus and self.reason == LATE_PAYMENT

    @property
    def restocks(self) -> bool:
        """Whether its goods return to the stock in this state, once."""
        if self.type is RefundType.RETURN:
            return bool(self.lines) and self.state is RefundState.RETURNED
        return bool(self.lines) and self.is_refunded

    @property
    def returned_goods(self) -> bool:
        """Whether its goods returned to the stock, now or earlier."""
        if self.type is RefundType.RETURN:
            return bool(self.lines) and self.is_decided and self.state is not RefundState.AWAITING_RETURN
        return self.restocks

    @property
    def code(self) -> str:
        """The reason that the history records: who asked, or why money is surplus; never a buyer's words."""
        return self.reason if self.surplus else self.requested_by

    def event_data(self) -> dict[str, object]:
        """What the order's history records: everything but free text."""
        data: dict[str, object] = {
            "refund_sn": self.refund_sn,
            "payment_sn": self.payment_sn,
            "amount_fen": self.amount_fen,
            "state": self.state.value,
            "type": self.type.value,
            "lines": [
                {"goods_id": line.goods, "nums": line.nums, "share_fen": line.share_fen}
                for line in self.lines
            ],
            "freight_fen": self.freight_fen,
            "approvals": self.approvals,
            "approver_id": self.approver,
            "out_refund_no": self.out_refund_no,
        }
        if self.parcel_no:
            data |= {"parcel_company": self.parcel_company, "parcel_no": self.parcel_no}
        if self.failure:
            data["failure"] = self.failure
        if self.restocks:
            data["restock"] = True
        return data

    def to(self, state: RefundState, **changes: Any) -> Refund:
        """The refund in another state, with other fields. Raises IllegalTransition."""
        return replace(self, state=advance(REFUND_TRANSITIONS, self.state, state), **changes)

    def require_sent_again(self) -> None:
        """Check that it failed, and may be sent to the provider again.

        Raises IllegalTransition, RefundTooLate, RefundAbnormal.
        """
        if self.state is not RefundState.FAILED:
            raise IllegalTransition(self.state.name, RefundState.SENT.name)
        if self.failure == REFUND_TOO_LATE:
            raise RefundTooLate
        if self.failure == ABNORMAL:
            raise RefundAbnormal


def surplus_refund(refund_sn: str, payment: Payment, reason: str, now_ms: int) -> Refund:
    """The refund of a whole payment that its order does not keep."""
    return Refund(
        refund_sn,
        payment.payment_sn,
        payment.order_sn,
        payment.amount_fen,
        RefundState.REQUESTED,
        reason,
        surplus=True,
        created_ms=now_ms,
        user=payment.user,
    )
