"""A provider's bill of one day, and its differences from our payments (decision reconciliation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import PaymentType, RefundState

DAY_MS = 86_400_000
EDGE_MS = 600_000  # clocks differ: money this close to midnight may be in the bill of the day before or after
MAX_SHOWN = 1000  # differences that are listed; all are counted
MAX_EARLIER = 7  # earlier bills that are searched for a payment
_CHINA_MS = 8 * 3_600_000
_EPOCH = date(1970, 1, 1)


def first_ms(day: date) -> int:
    """The start of a bill's day: midnight in China, in epoch ms."""
    return (day - _EPOCH).days * DAY_MS - _CHINA_MS


def day_at(ms: int) -> date:
    """The bill's day at this time."""
    return _EPOCH + timedelta(days=(ms + _CHINA_MS) // DAY_MS)


def is_before(known_ms: int, day: date) -> bool:
    """Whether a payment or refund that was known here at that time belongs to an earlier bill."""
    return known_ms < first_ms(day) - EDGE_MS


def days_near(from_ms: int, to_ms: int, excluding: date) -> Sequence[date]:
    """The days whose bills may list a payment or refund of that time, latest first."""
    first, last = day_at(from_ms - EDGE_MS), day_at(to_ms + EDGE_MS)
    days = [last - timedelta(days=n) for n in range((last - first).days + 1)]
    return [day for day in days if day != excluding][:MAX_EARLIER]


@dataclass(frozen=True, slots=True)
class BillLine:
    """A payment or refund, both with a positive amount; `refund_sn` may be the provider's own number."""

    payment_sn: str
    trade_no: str
    amount_fen: int
    is_refund: bool = False
    refund_sn: str = ""

    @property
    def number(self) -> str:
        """The number of the refund or payment."""
        return self.refund_sn or self.payment_sn


@dataclass(frozen=True, slots=True)
class Bill:
    """All payments and refunds of that day; `digest` is that of the file."""

    day: date
    lines: Sequence[BillLine]
    digest: str = ""


@dataclass(slots=True)
class BillNumbers:
    """The numbers in a bill; `foreign_refunds` are (payment, refund) numbers of refunds unknown here."""

    payments: set[str] = field(default_factory=set)
    refunds: set[str] = field(default_factory=set)
    foreign_refunds: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, bill: Bill) -> BillNumbers:
        """Collect the numbers of all lines."""
        found = cls()
        for line in bill.lines:
            if line.is_refund:
                found.refunds.add(line.refund_sn)
            else:
                found.payments.add(line.payment_sn)
        return found


class Mismatch(StrEnum):
    """The kind of a difference."""

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
        """Whether it is about a refund."""
        return "refund" in self.value


@dataclass(frozen=True, slots=True)
class Difference:
    """A payment or refund that differs; `here` and `there` are what differs besides the amounts."""

    kind: Mismatch
    number: str
    order_sn: str
    ours_fen: int
    theirs_fen: int
    here: str = ""
    there: str = ""


@dataclass(slots=True)
class Totals:
    """Payments and refunds of one side."""

    trades: int = 0
    paid_fen: int = 0
    refunds: int = 0
    refunded_fen: int = 0

    def add(self, amount_fen: int, *, is_refund: bool) -> None:
        """Count a payment or refund."""
        if is_refund:
            self.refunds, self.refunded_fen = self.refunds + 1, self.refunded_fen + amount_fen
        else:
            self.trades, self.paid_fen = self.trades + 1, self.paid_fen + amount_fen

    def minus(self, other: Totals) -> Totals:
        """The difference between the two sides."""
        return Totals(
            self.trades - other.trades,
            self.paid_fen - other.paid_fen,
            self.refunds - other.refunds,
            self.refunded_fen - other.refunded_fen,
        )


@dataclass(slots=True)
class Comparison:
    """Compare both sides line by line.

    For payments and for refunds, ours minus theirs is the sum of the differences.
    """

    channel: PaymentType
    ours: Totals = field(default_factory=Totals)
    theirs: Totals = field(default_factory=Totals)
    shown: list[Difference] = field(default_factory=list)
    count: int = 0

    def compare_payment(self, line: BillLine, payment: Payment | None) -> None:
        """Compare a payment in the bill with ours of the same number."""
        self.theirs.add(line.amount_fen, is_refund=False)
        if payment is None or payment.payment_type is not self.channel:
            self._only_theirs(Mismatch.UNKNOWN_PAYMENT, line)
        elif not payment.is_paid:
            self._only_theirs(Mismatch.NOT_PAID_HERE, line, payment.order_sn, payment.state)
        else:
            self.ours.add(payment.amount_fen, is_refund=False)
            if payment.amount_fen != line.amount_fen:
                self._unequal(Mismatch.AMOUNT, line, payment.order_sn, payment.amount_fen, payment.trade_no)
            elif payment.trade_no != line.trade_no:
                self._unequal(Mismatch.TRADE_NO, line, payment.order_sn, payment.amount_fen, payment.trade_no)

    def compare_refund(self, line: BillLine, refund: Refund | None) -> None:
        """Compare a refund in the bill with ours of the same number."""
        self.theirs.add(line.amount_fen, is_refund=True)
        if refund is None:
            self._only_theirs(Mismatch.UNKNOWN_REFUND, line)
        elif refund.state is not RefundState.SUCCEEDED:
            self._only_theirs(Mismatch.NOT_REFUNDED_HERE, line, refund.order_sn, refund.state)
        else:
            self.ours.add(refund.amount_fen, is_refund=True)
            here, there = refund.payment_sn, line.payment_sn
            if refund.amount_fen != line.amount_fen:
                self._unequal(Mismatch.REFUND_AMOUNT, line, refund.order_sn, refund.amount_fen, here, there)
            elif here != there:
                self._unequal(
                    Mismatch.REFUND_OF_ANOTHER, line, refund.order_sn, refund.amount_fen, here, there
                )

    def add_repeated(self, line: BillLine) -> None:
        """Add a line whose number is already in this or an earlier bill."""
        self.theirs.add(line.amount_fen, is_refund=line.is_refund)
        self._only_theirs(Mismatch.REFUND_TWICE_IN_BILL if line.is_refund else Mismatch.TWICE_IN_BILL, line)

    def add_missing_payment(self, payment: Payment) -> None:
        """Add our payment that no bill lists."""
        self.ours.add(payment.amount_fen, is_refund=False)
        number, fen = payment.payment_sn, payment.amount_fen
        self._add(Difference(Mismatch.NOT_IN_BILL, number, payment.order_sn, fen, 0, payment.trade_no))

    def add_missing_refund(self, refund: Refund) -> None:
        """Add our refund that no bill lists."""
        self.ours.add(refund.amount_fen, is_refund=True)
        number, fen = refund.refund_sn, refund.amount_fen
        self._add(Difference(Mismatch.REFUND_NOT_IN_BILL, number, refund.order_sn, fen, 0, refund.payment_sn))

    def _only_theirs(self, kind: Mismatch, line: BillLine, order_sn: str = "", here: str = "") -> None:
        self._add(Difference(kind, line.number, order_sn, 0, line.amount_fen, here, line.trade_no))

    def _unequal(
        self, kind: Mismatch, line: BillLine, order_sn: str, fen: int, here: str, there: str = ""
    ) -> None:
        there = there or line.trade_no
        self._add(Difference(kind, line.number, order_sn, fen, line.amount_fen, here, there))

    def _add(self, difference: Difference) -> None:
        self.count += 1
        if len(self.shown) < MAX_SHOWN:
            self.shown.append(difference)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of one day. `settled` payments were unpaid here and are settled now; `waiting` ones, of the
    day's last minutes, are compared with the next bill. `differences` counts all, `shown` lists the first."""

    channel: PaymentType
    day: date
    ours: Totals
    theirs: Totals
    differences: int
    shown: Sequence[Difference]
    settled: int
    waiting: int
    digest: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class DayResult:
    """The stored result of a day's last comparison."""

    day: date
    differences: int
    created_ms: int

    @property
    def is_final(self) -> bool:
        """Whether it was made after the end of the day."""
        return self.created_ms >= first_ms(self.day) + DAY_MS

    def is_stale(self, now_ms: int) -> bool:
        """Whether to compare again: what differed then may agree by now."""
        return bool(self.differences) and now_ms >= self.created_ms + DAY_MS


@dataclass(frozen=True, slots=True)
class BillCursor:
    """The position in a list of payments or refunds by time and number."""

    at_ms: int
    number: str = ""
