"""What a provider owes us for one day, by its bill (decision reconciliation)."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import date
from enum import StrEnum

from shop_order.domain.bill import DAY_MS, Totals, first_ms


class DayState(StrEnum):
    """How far a day's figures can be trusted."""

    RECONCILED = "reconciled"  # the bill agrees with our payments and refunds, to the fen
    DIFFERENCES = "differences"  # it does not: see the result of `reconcile`
    INCOMPLETE = "incomplete"  # compared before the day was over, or before fees were stored
    BILL_MISSING = "bill_missing"  # not compared, although the bill should be published
    NOT_OUT = "not_out"  # the bill is not published yet


@dataclass(frozen=True, slots=True)
class StoredDay:
    """The stored result of a day: both sides, and the bill's fees and discounts (None: from before they were
    stored)."""

    channel: str
    day: date
    ours: Totals
    theirs: Totals
    fee_fen: int | None
    discount_fen: int | None
    differences: int
    created_ms: int

    @property
    def state(self) -> DayState:
        """How far the figures can be trusted."""
        if self.created_ms < first_ms(self.day) + DAY_MS or self.fee_fen is None:
            return DayState.INCOMPLETE
        return DayState.DIFFERENCES if self.differences else DayState.RECONCILED


@dataclass(frozen=True, slots=True)
class SettledSums:
    """The bill's figures, in fen, and our own two beside them; `gross_fen` is what buyers paid."""

    payments: int = 0
    gross_fen: int = 0
    refunds: int = 0
    refunded_fen: int = 0
    fee_fen: int = 0
    discount_fen: int = 0
    our_gross_fen: int = 0
    our_refunded_fen: int = 0
    differences: int = 0

    @property
    def net_fen(self) -> int:
        """What the provider pays out: without refunds, its fees, and what our own vouchers there paid."""
        return self.gross_fen - self.refunded_fen - self.fee_fen - self.discount_fen

    def plus(self, other: SettledSums) -> SettledSums:
        """The sum of both."""
        return SettledSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class SettledDay:
    """A day of a channel, by the provider's clock; without a bill all sums are 0."""

    day: date
    channel: str
    state: DayState
    sums: SettledSums = SettledSums()

    @classmethod
    def of(cls, stored: StoredDay) -> SettledDay:
        """The figures of a day that was compared."""
        theirs, ours = stored.theirs, stored.ours
        sums = SettledSums(
            payments=theirs.trades,
            gross_fen=theirs.paid_fen,
            refunds=theirs.refunds,
            refunded_fen=theirs.refunded_fen,
            fee_fen=stored.fee_fen or 0,
            discount_fen=stored.discount_fen or 0,
            our_gross_fen=ours.paid_fen,
            our_refunded_fen=ours.refunded_fen,
            differences=stored.differences,
        )
        return cls(stored.day, stored.channel, stored.state, sums)
