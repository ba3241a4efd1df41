"""A provider's bill of one day, and how it differs from our payments (decision reconciliation)."""

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
EDGE_MS = 600_000  # two clocks: money this close to midnight may be in the bill of the day before or after
MAX_SHOWN = 1000  # differences listed one by one; all are counted
MAX_EARLIER = 7  # earlier bills in which money is looked for
_CHINA_MS = 8 * 3_600_000
_EPOCH = date(1970, 1, 1)


def first_ms(day: date) -> int:
    """When a bill's day begins: midnight in China, in epoch ms."""
    return (day - _EPOCH).days * DAY_MS - _CHINA_MS


def day_at(ms: int) -> date:
    """The bill's day of a moment."""
    return _EPOCH + timedelta(days=(ms + _CHINA_MS) // DAY_MS)


def is_before(moved_ms: int, day: date) -> bool:
    """Whether money that we knew of at that time belongs to an earlier bill."""
    return moved_ms < first_ms(day) - EDGE_MS


def days_near(from_ms: int, to_ms: int, but: date) -> Sequence[date]:
    """The days, except `but`, whose bills may have money of that time; the latest first."""
    first, last = day_at(from_ms - EDGE_MS), day_at(to_ms + EDGE_MS)
    days = [last - timedelta(days=n) for n in range((last - first).days + 1)]
    return [day for day in days if day != but][:MAX_EARLIER]


class BillNotOut(Exception):
    """The provider has no bill of that day: it is not out yet, or nothing was paid on that day."""

    def __init__(self, day: date) -> None:
        super().__init__(f"the provider has no bill of {day}")
        self.day = day


class BillUnusable(Exception):
    """Not a complete bill of that day and of our account; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """Money that moved; a refund's `amount_fen` is positive too, and its number may be the provider's own."""

    payment_sn: str
    trade_no: str
    amount_fen: int
    is_refund: bool = False
    refund_sn: str = ""

    @property
    def number(self) -> str:
        """Our number of the payment or refund."""
        return self.refund_sn or self.payment_sn


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything the provider counts for that day; `digest` is of the file it was read from."""

    day: date
    lines: Sequence[BillLine]
    digest: str = ""


@dataclass(slots=True)
class BillNumbers:
    """The numbers in a bill; `strangers` are refunds whose number is not ours, with their payment's."""

    payments: set[str] = field(default_factory=set)
    refunds: set[str] = field(default_factory=set)
    strangers: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, bill: Bill) -> BillNumbers:
        """The numbers of all its lines."""
        found = cls()
        for line in bill.lines:
            if line.is_refund:
                found.refunds.add(line.refund_sn)
            else:
                found.payments.add(line.payment_sn)
        return found


class BillSource(Protocol):
    """A provider's daily bills."""

    max_bytes: int  # of a bill's file

    def available(self) -> bool:
        """Whether the provider can be asked."""

    async def bill(self, day: date) -> Bill:
        """The bill of a day. Raises BillNotOut, BillUnusable, DependencyDown, ChannelUnavailable."""

    async def read(self, day: date, content: bytes) -> Bill:
        """The bill of a file that was fetched from the provider's site. Raises BillUnusable."""


class Mismatch(StrEnum):
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

    kind: Mismatch
    number: str
    order_sn: str
    ours_fen: int
    theirs_fen: int
    here: str = ""
    there: str = ""


@dataclass(slots=True)
class Totals:
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

    def less(self, other: Totals) -> Totals:
        """How much more this is than the other side."""
        return Totals(
            self.trades - other.trades,
            self.paid_fen - other.paid_fen,
            self.refunds - other.refunds,
            self.refunded_fen - other.refunded_fen,
        )


@dataclass(slots=True)
class Comparison:
    """The two sides, line by line: whatever is not equal is a difference.

    For payments as for refunds, ours minus theirs is the sum of the differences.
    """

    channel: PaymentType
    ours: Totals = field(default_factory=Totals)
    theirs: Totals = field(default_factory=Totals)
    shown: list[Difference] = field(default_factory=list)
    count: int = 0

    def compare_payment(self, line: BillLine, payment: Payment | None) -> None:
        """The bill has a payment; ours of that number, if there is one."""
        self.theirs.add(line.amount_fen, is_refund=False)
        if payment is None or payment.payment_type is not self.channel:
            self._theirs_alone(Mismatch.UNKNOWN_PAYMENT, line)
        elif not payment.is_paid:
            self._theirs_alone(Mismatch.NOT_PAID_HERE, line, payment.order_sn, payment.state)
        else:
            self.ours.add(payment.amount_fen, is_refund=False)
            if payment.amount_fen != line.amount_fen:
                self._both(Mismatch.AMOUNT, line, payment.order_sn, payment.amount_fen, payment.trade_no)
            elif payment.trade_no != line.trade_no:
                self._both(Mismatch.TRADE_NO, line, payment.order_sn, payment.amount_fen, payment.trade_no)

    def compare_refund(self, line: BillLine, refund: Refund | None) -> None:
        """The bill has a refund; ours of that number, if there is one."""
        self.theirs.add(line.amount_fen, is_refund=True)
        if refund is None:
            self._theirs_alone(Mismatch.UNKNOWN_REFUND, line)
        elif refund.state is not RefundState.SUCCEEDED:
            self._theirs_alone(Mismatch.NOT_REFUNDED_HERE, line, refund.order_sn, refund.state)
        else:
            self.ours.add(refund.amount_fen, is_refund=True)
            here, there = refund.payment_sn, line.payment_sn
            if refund.amount_fen != line.amount_fen:
                self._both(Mismatch.REFUND_AMOUNT, line, refund.order_sn, refund.amount_fen, here, there)
            elif here != there:
                self._both(Mismatch.REFUND_OF_ANOTHER, line, refund.order_sn, refund.amount_fen, here, there)

    def add_repeated(self, line: BillLine) -> None:
        """The bill has a number that it had before."""
        self.theirs.add(line.amount_fen, is_refund=line.is_refund)
        self._theirs_alone(Mismatch.REFUND_TWICE_IN_BILL if line.is_refund else Mismatch.TWICE_IN_BILL, line)

    def add_missing_payment(self, payment: Payment) -> None:
        """We have a payment that is in no bill."""
        self.ours.add(payment.amount_fen, is_refund=False)
        number, fen = payment.payment_sn, payment.amount_fen
        self._differs(Difference(Mismatch.NOT_IN_BILL, number, payment.order_sn, fen, 0, payment.trade_no))

    def add_missing_refund(self, refund: Refund) -> None:
        """We have a refund that is in no bill."""
        self.ours.add(refund.amount_fen, is_refund=True)
        number, fen = refund.refund_sn, refund.amount_fen
        self._differs(
            Difference(Mismatch.REFUND_NOT_IN_BILL, number, refund.order_sn, fen, 0, refund.payment_sn)
        )

    def _theirs_alone(self, kind: Mismatch, line: BillLine, order_sn: str = "", here: str = "") -> None:
        self._differs(Difference(kind, line.number, order_sn, 0, line.amount_fen, here, line.trade_no))

    def _both(
        self, kind: Mismatch, line: BillLine, order_sn: str, fen: int, here: str, there: str = ""
    ) -> None:
        there = there or line.trade_no
        self._differs(Difference(kind, line.number, order_sn, fen, line.amount_fen, here, there))

    def _differs(self, difference: Difference) -> None:
        self.count += 1
        if len(self.shown) < MAX_SHOWN:
            self.shown.append(difference)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came of one day: `settled` payments were unpaid here and are settled now, `waiting` ones of the
    day's last minutes are looked for in the next bill. `differences` counts all, `shown` has the first."""

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
class Kept:
    """How a day's last comparison ended, and when."""

    day: date
    differences: int
    created_ms: int

    @property
    def is_whole(self) -> bool:
        """Whether it was made after the day was over."""
        return self.created_ms >= first_ms(self.day) + DAY_MS

    def is_stale(self, now_ms: int) -> bool:
        """Whether it should be made again: what differed then may agree by now."""
        return bool(self.differences) and now_ms >= self.created_ms + DAY_MS


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
