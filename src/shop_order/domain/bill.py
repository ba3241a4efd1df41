"""A provider's bill of one day, and its differences from our payments (decision reconciliation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import PaymentType, RefundState

SENT_REFUND = frozenset({RefundState.SENT, RefundState.UNKNOWN})

DAY_MS = 86_400_000
EDGE_MS = 600_000  # clocks differ: money this close to midnight may be in the bill of the day before or after
MAX_SHOWN = 1000  # differences that are listed; all are counted
CNY = "CNY"  # all our amounts
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


class LineState(StrEnum):
    """What the bill says of a line's money. A payment is always DONE."""

    DONE = "done"
    OPEN = "open"  # a refund that the provider had accepted when it made the bill, and not ended
    FAILED = "failed"  # a refund that did not reach the buyer


@dataclass(frozen=True, slots=True)
class BillLine:
    """A payment or refund, both with a positive amount; `out_refund_no` may be the provider's own number.

    `fee_fen` is what the provider took for a payment, and `discount_fen` what our own vouchers there paid of
    it, which we do not receive; both are negative where a refund gave them back.
    """

    payment_sn: str
    trade_no: str
    amount_fen: int
    is_refund: bool = False
    out_refund_no: str = ""
    fee_fen: int = 0
    discount_fen: int = 0
    state: LineState = LineState.DONE
    currency: str = CNY

    @property
    def number(self) -> str:
        """The number of the refund or payment."""
        return self.out_refund_no or self.payment_sn

    def row(self) -> tuple[str | int, ...]:
        """The fields, as a list on disk keeps them (`pkg.spool`)."""
        return (
            self.payment_sn, self.trade_no, self.amount_fen, int(self.is_refund), self.out_refund_no,
            self.fee_fen, self.discount_fen, self.state.value, self.currency,
        )  # fmt: skip

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> BillLine:
        """The line of these fields."""
        payment_sn, trade_no, fen, is_refund, out_refund_no, fee_fen, discount_fen, state, currency = row
        return cls(
            payment_sn, trade_no, fen, bool(is_refund), out_refund_no, fee_fen, discount_fen,
            LineState(state), currency,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bill:
    """All payments and refunds of that day; `digest` is that of the file.

    `lines` may be on disk: read them in slices.
    """

    day: date
    lines: Sequence[BillLine]
    digest: str = ""


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
    REFUND_FAILED_THERE = "refund_failed_there"
    REFUNDED_BY_HAND_TOO = "refunded_by_hand_too"
    CURRENCY = "currency"
    REFUND_CURRENCY = "refund_currency"

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

    For payments and for refunds, ours minus theirs is the sum of the differences. Fees and discounts are the
    sums of the bill's lines.
    """

    channel: PaymentType
    ours: Totals = field(default_factory=Totals)
    theirs: Totals = field(default_factory=Totals)
    fee_fen: int = 0
    discount_fen: int = 0
    shown: list[Difference] = field(default_factory=list)
    count: int = 0

    def compare_payment(self, line: BillLine, payment: Payment | None) -> None:
        """Compare a payment in the bill with ours of the same number."""
        known = payment if payment and payment.payment_type is self.channel else None
        if line.currency != CNY:
            self._foreign(Mismatch.CURRENCY, line, known if known and known.is_paid else None)
            return
        self._count(line)
        if known is None:
            self._only_theirs(Mismatch.UNKNOWN_PAYMENT, line)
        elif not known.is_paid:
            self._only_theirs(Mismatch.NOT_PAID_HERE, line, known.order_sn, known.state)
        else:
            self.ours.add(known.amount_fen, is_refund=False)
            if known.amount_fen != line.amount_fen:
                self._unequal(Mismatch.AMOUNT, line, known.order_sn, known.amount_fen, known.trade_no)
            elif known.trade_no != line.trade_no:
                self._unequal(Mismatch.TRADE_NO, line, known.order_sn, known.amount_fen, known.trade_no)

    def compare_refund(self, line: BillLine, refund: Refund | None) -> None:
        """Compare a refund in the bill with ours of the same number.

        One that the provider has not ended yet agrees with one that we have sent. One that did not reach the
        buyer is no money; one that was settled by hand must not reach the buyer as well.
        """
        is_done = refund is not None and refund.state is RefundState.SUCCEEDED
        if line.currency != CNY:
            self._foreign(Mismatch.REFUND_CURRENCY, line, refund if is_done else None)
        elif line.state is LineState.FAILED:
            self._add_fees(line)
            if refund and is_done:
                self.ours.add(refund.amount_fen, is_refund=True)
                kind, sn = Mismatch.REFUND_FAILED_THERE, refund.order_sn
                self._add(
                    Difference(kind, line.number, sn, refund.amount_fen, 0, refund.state, line.trade_no)
                )
        elif refund is None:
            self._count(line)
            self._only_theirs(Mismatch.UNKNOWN_REFUND, line)
        elif is_done or (line.state is LineState.OPEN and refund.state in SENT_REFUND):
            self._count(line)
            self._compare_refunded(line, refund)
        else:
            by_hand = refund.state is RefundState.SETTLED
            kind = Mismatch.REFUNDED_BY_HAND_TOO if by_hand else Mismatch.NOT_REFUNDED_HERE
            self._count(line)
            self._only_theirs(kind, line, refund.order_sn, refund.state)

    def _compare_refunded(self, line: BillLine, refund: Refund) -> None:
        self.ours.add(refund.amount_fen, is_refund=True)
        sn, fen, here, there = refund.order_sn, refund.amount_fen, refund.payment_sn, line.payment_sn
        if fen != line.amount_fen:
            self._unequal(Mismatch.REFUND_AMOUNT, line, sn, fen, here, there)
        elif here != there:
            self._unequal(Mismatch.REFUND_OF_ANOTHER, line, sn, fen, here, there)

    def add_repeated(self, line: BillLine) -> None:
        """Add a line whose number is already in this or an earlier bill; a refund may fail twice."""
        if line.currency != CNY:
            self._foreign(Mismatch.REFUND_CURRENCY if line.is_refund else Mismatch.CURRENCY, line, None)
        elif line.state is LineState.FAILED:
            self._add_fees(line)
        else:
            self._count(line)
            self._only_theirs(
                Mismatch.REFUND_TWICE_IN_BILL if line.is_refund else Mismatch.TWICE_IN_BILL, line
            )

    def add_missing_payment(self, payment: Payment) -> None:
        """Add our payment that no bill lists."""
        self.ours.add(payment.amount_fen, is_refund=False)
        number, fen = payment.payment_sn, payment.amount_fen
        self._add(Difference(Mismatch.NOT_IN_BILL, number, payment.order_sn, fen, 0, payment.trade_no))

    def add_missing_refund(self, refund: Refund) -> None:
        """Add our refund that no bill lists."""
        self.ours.add(refund.amount_fen, is_refund=True)
        number, fen = refund.out_refund_no, refund.amount_fen
        self._add(Difference(Mismatch.REFUND_NOT_IN_BILL, number, refund.order_sn, fen, 0, refund.payment_sn))

    def _count(self, line: BillLine) -> None:
        self.theirs.add(line.amount_fen, is_refund=line.is_refund)
        self._add_fees(line)

    def _add_fees(self, line: BillLine) -> None:
        self.fee_fen += line.fee_fen
        self.discount_fen += line.discount_fen

    def _foreign(self, kind: Mismatch, line: BillLine, ours: Payment | Refund | None) -> None:
        """Add money in another currency, which no sum contains, and ours of that number."""
        fen, order_sn = (ours.amount_fen, ours.order_sn) if ours else (0, "")
        if ours:
            self.ours.add(fen, is_refund=line.is_refund)
        there = f"{line.amount_fen} {line.currency}"
        self._add(Difference(kind, line.number, order_sn, fen, 0, CNY, there))

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
    day's last minutes, are compared with the next bill. `differences` counts all, `shown` lists the first.
    `fee_fen` and `discount_fen` are the sums of the bill's lines."""

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
    fee_fen: int = 0
    discount_fen: int = 0


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
