"""A provider's bill of one day, and what differs between it and our payments (decision reconciliation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Protocol

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.lease import Fence
from shop_order.domain.status import PaymentType, RefundState

DAY_MS = 86_400_000
EDGE_MS = 600_000  # two clocks: what is so near to midnight may stand in the bill of the day beside
MOST_SHOWN = 1000  # differences told one by one; all are counted
_CHINA_MS = 8 * 3_600_000
_EPOCH = date(1970, 1, 1)


def first_ms(day: date) -> int:
    """When a bill's day begins: at midnight in China."""
    return (day - _EPOCH).days * DAY_MS - _CHINA_MS


def day_at(ms: int) -> date:
    """The bill's day of a moment."""
    return _EPOCH + timedelta(days=(ms + _CHINA_MS) // DAY_MS)


class BillNotOut(Exception):
    """The provider has no bill of that day: it is not out yet, or nothing was paid on that day."""

    def __init__(self, day: date) -> None:
        super().__init__(f"the provider has no bill of {day}")
        self.day = day


class BillUnusable(Exception):
    """What came is not a whole bill of that day and of our account; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """Money that moved; `amount_fen` is above 0 for a refund, too, whose number may be the provider's own."""

    payment_sn: str
    trade_no: str
    amount_fen: int
    is_refund: bool = False
    refund_sn: str = ""

    @property
    def number(self) -> str:
        """Ours, by which it is looked for."""
        return self.refund_sn or self.payment_sn


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything the provider counts for that day; `digest` is of the file it was read from."""

    day: date
    lines: Sequence[BillLine]
    digest: str = ""


class BillSource(Protocol):
    """A provider's daily bills."""

    max_bytes: int  # of a bill's file

    def available(self) -> bool:
        """Whether the provider can be asked."""

    async def bill(self, day: date) -> Bill:
        """The bill of a day. Raises BillNotOut, BillUnusable, DependencyDown, ChannelUnavailable."""

    async def read(self, day: date, content: bytes) -> Bill:
        """The bill of a file that was fetched from the provider's site. Raises BillUnusable."""


class Kind(StrEnum):
    """What differs."""

    UNKNOWN_PAYMENT = "unknown_payment"
    NOT_PAID_HERE = "not_paid_here"
    AMOUNT = "amount"
    TRADE_NO = "trade_no"
    NOT_IN_BILL = "not_in_bill"
    TWICE_IN_BILL = "twice_in_bill"
    UNKNOWN_REFUND = "unknown_refund"
    NOT_REFUNDED_HERE = "not_refunded_here"
    REFUND_AMOUNT = "refund_amount"
    REFUND_OF_ANOTHER = "refund_of_another"
    REFUND_NOT_IN_BILL = "refund_not_in_bill"
    REFUND_TWICE_IN_BILL = "refund_twice_in_bill"

    @property
    def is_refund(self) -> bool:
        """About money that went back."""
        return "refund" in self.value


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of which the two sides do not tell the same; `here` and `there` say what, beside the fen."""

    kind: Kind
    number: str
    order_sn: str
    ours_fen: int
    theirs_fen: int
    here: str = ""
    there: str = ""


@dataclass(slots=True)
class Sums:
    """Money that came and money that went back, on one side."""

    trades: int = 0
    paid_fen: int = 0
    refunds: int = 0
    refunded_fen: int = 0

    def add(self, amount_fen: int, *, is_refund: bool) -> None:
        """One more."""
        if is_refund:
            self.refunds, self.refunded_fen = self.refunds + 1, self.refunded_fen + amount_fen
        else:
            self.trades, self.paid_fen = self.trades + 1, self.paid_fen + amount_fen

    def less(self, other: Sums) -> Sums:
        """How much more this is than the other side."""
        return Sums(
            self.trades - other.trades,
            self.paid_fen - other.paid_fen,
            self.refunds - other.refunds,
            self.refunded_fen - other.refunded_fen,
        )


@dataclass(slots=True)
class Comparison:
    """The two sides, line by line: what is not equal is a difference, so that no fen is lost in between.

    Ours minus theirs is, for payments as for refunds, the sum of the differences.
    """

    channel: PaymentType
    ours: Sums = field(default_factory=Sums)
    theirs: Sums = field(default_factory=Sums)
    shown: list[Difference] = field(default_factory=list)
    count: int = 0

    def trade(self, line: BillLine, payment: Payment | None) -> None:
        """The bill has a payment; ours of that number, if there is one."""
        self.theirs.add(line.amount_fen, is_refund=False)
        if payment is None or payment.payment_type is not self.channel:
            self._theirs_alone(Kind.UNKNOWN_PAYMENT, line)
        elif not payment.is_paid:
            self._theirs_alone(Kind.NOT_PAID_HERE, line, payment.order_sn, payment.state)
        else:
            self.ours.add(payment.amount_fen, is_refund=False)
            if payment.amount_fen != line.amount_fen:
                self._both(Kind.AMOUNT, line, payment.order_sn, payment.amount_fen, payment.trade_no)
            elif payment.trade_no != line.trade_no:
                self._both(Kind.TRADE_NO, line, payment.order_sn, payment.amount_fen, payment.trade_no)

    def refund(self, line: BillLine, refund: Refund | None) -> None:
        """The bill has a refund; ours of that number, if there is one."""
        self.theirs.add(line.amount_fen, is_refund=True)
        if refund is None:
            self._theirs_alone(Kind.UNKNOWN_REFUND, line)
        elif refund.state is not RefundState.SUCCEEDED:
            self._theirs_alone(Kind.NOT_REFUNDED_HERE, line, refund.order_sn, refund.state)
        else:
            self.ours.add(refund.amount_fen, is_refund=True)
            here, there = refund.payment_sn, line.payment_sn
            if refund.amount_fen != line.amount_fen:
                self._both(Kind.REFUND_AMOUNT, line, refund.order_sn, refund.amount_fen, here, there)
            elif here != there:
                self._both(Kind.REFUND_OF_ANOTHER, line, refund.order_sn, refund.amount_fen, here, there)

    def again(self, line: BillLine) -> None:
        """The bill has a number that it had before."""
        self.theirs.add(line.amount_fen, is_refund=line.is_refund)
        self._theirs_alone(Kind.REFUND_TWICE_IN_BILL if line.is_refund else Kind.TWICE_IN_BILL, line)

    def payment_alone(self, payment: Payment) -> None:
        """We have a payment that is in no bill."""
        self.ours.add(payment.amount_fen, is_refund=False)
        number, fen = payment.payment_sn, payment.amount_fen
        self._differs(Difference(Kind.NOT_IN_BILL, number, payment.order_sn, fen, 0, payment.trade_no))

    def refund_alone(self, refund: Refund) -> None:
        """We have a refund that is in no bill."""
        self.ours.add(refund.amount_fen, is_refund=True)
        number, fen = refund.refund_sn, refund.amount_fen
        self._differs(Difference(Kind.REFUND_NOT_IN_BILL, number, refund.order_sn, fen, 0, refund.payment_sn))

    def _theirs_alone(self, kind: Kind, line: BillLine, order_sn: str = "", here: str = "") -> None:
        self._differs(Difference(kind, line.number, order_sn, 0, line.amount_fen, here, line.trade_no))

    def _both(self, kind: Kind, line: BillLine, order_sn: str, fen: int, here: str, there: str = "") -> None:
        there = there or line.trade_no
        self._differs(Difference(kind, line.number, order_sn, fen, line.amount_fen, here, there))

    def _differs(self, difference: Difference) -> None:
        self.count += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(difference)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came of one day: `settled` payments were unpaid here and are settled now, `waiting` ones of the
    day's last minutes are looked for in the next bill. `differences` counts all, `shown` has the first."""

    channel: PaymentType
    day: date
    ours: Sums
    theirs: Sums
    differences: int
    shown: Sequence[Difference]
    settled: int
    waiting: int
    digest: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Kept:
    """How a day's last comparison ended, and when."""

    day: date
    differences: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class After:
    """Where a walk over one day's money goes on."""

    at_ms: int
    number: str = ""


class Reconciliations(Protocol):
    """What a reconciliation reads, of live and archived orders alike, and where its result is kept."""

    async def payments(self, payment_sns: Sequence[str]) -> Mapping[str, Payment]:
        """Those attempts that we know."""

    async def refunds(self, refund_sns: Sequence[str]) -> Mapping[str, Refund]:
        """Those refunds that we know."""

    async def paid(self, channel: PaymentType, after: After, before_ms: int, limit: int) -> Sequence[Payment]:
        """Paid attempts in order of time and number."""

    async def refunded(
        self, channel: PaymentType, after: After, before_ms: int, limit: int
    ) -> Sequence[Refund]:
        """Refunds that succeeded, in order of time and number."""

    async def ask_again(self, payment_sn: str, at_ms: int) -> None:
        """An unpaid attempt's provider is to be asked at that time, also when its order was archived."""

    async def days(self, channel: PaymentType, since: date) -> Mapping[date, Kept]:
        """What is kept of each day that was reconciled."""

    async def keep(self, result: Reconciliation, fence: Fence) -> None:
        """Store a day's result in place of an earlier one. Raises LeaseLost."""
