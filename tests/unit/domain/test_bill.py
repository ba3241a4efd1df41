"""A bill against our payments: whatever differs is named, and no fen is lost between the two sides."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.domain.bill import (
    MAX_SHOWN,
    SENT_REFUND,
    BillLine,
    Comparison,
    Difference,
    LineState,
    Mismatch,
    Totals,
    day_at,
    first_ms,
)
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import PaymentState, PaymentType, RefundState

ALIPAY = PaymentType.ALIPAY
TRADE = BillLine("P1", "T1", 1999)
BACK = BillLine("P1", "T1", 500, True, "R1")
PAID = Payment(
    "P1", "S1", 7, ALIPAY, "page", 1999, PaymentState.PAID, "", 1, 2, trade_no="T1", paid_ms=3
)  # fmt: skip
DONE = Refund("R1", "P1", "S1", 500, RefundState.SUCCEEDED, "", False, 1, finished_ms=4)


def compared(line: BillLine, payment: Payment | None = None, refund: Refund | None = None) -> Comparison:
    """One line alone."""
    comparison = Comparison(ALIPAY)
    if line.is_refund:
        comparison.compare_refund(line, refund)
    else:
        comparison.compare_payment(line, payment)
    return comparison


def test_what_is_equal_is_no_difference() -> None:
    for state in (PaymentState.PAID, PaymentState.PART_REFUNDED, PaymentState.REFUNDED):
        assert compared(TRADE, replace(PAID, state=state)).shown == []
    assert compared(BACK, refund=DONE).shown == []


@pytest.mark.parametrize(
    ("line", "payment", "expected"),
    [
        (TRADE, None, Difference(Mismatch.UNKNOWN_PAYMENT, "P1", "", 0, 1999, "", "T1")),
        (
            TRADE,
            replace(PAID, payment_type=PaymentType.WECHAT),
            Difference(Mismatch.UNKNOWN_PAYMENT, "P1", "", 0, 1999, "", "T1"),
        ),
        (
            TRADE,
            replace(PAID, state=PaymentState.CLOSED, trade_no=""),
            Difference(Mismatch.NOT_PAID_HERE, "P1", "S1", 0, 1999, "closed", "T1"),
        ),
        (
            replace(TRADE, amount_fen=1998),
            PAID,
            Difference(Mismatch.AMOUNT, "P1", "S1", 1999, 1998, "T1", "T1"),
        ),
        (
            replace(TRADE, trade_no="T2"),
            PAID,
            Difference(Mismatch.TRADE_NO, "P1", "S1", 1999, 1999, "T1", "T2"),
        ),
    ],
)
def test_a_payment_of_the_bill(line: BillLine, payment: Payment | None, expected: Difference) -> None:
    assert compared(line, payment).shown == [expected]


@pytest.mark.parametrize(
    ("line", "refund", "expected"),
    [
        (BACK, None, Difference(Mismatch.UNKNOWN_REFUND, "R1", "", 0, 500, "", "T1")),
        (
            BACK,
            replace(DONE, state=RefundState.FAILED),
            Difference(Mismatch.NOT_REFUNDED_HERE, "R1", "S1", 0, 500, "failed", "T1"),
        ),
        (
            replace(BACK, amount_fen=499),
            DONE,
            Difference(Mismatch.REFUND_AMOUNT, "R1", "S1", 500, 499, "P1", "P1"),
        ),
        (
            replace(BACK, payment_sn="P2"),
            DONE,
            Difference(Mismatch.REFUND_OF_ANOTHER, "R1", "S1", 500, 500, "P1", "P2"),
        ),
        (
            replace(BACK, out_refund_no=""),
            None,
            Difference(Mismatch.UNKNOWN_REFUND, "P1", "", 0, 500, "", "T1"),
        ),
    ],
)
def test_a_refund_of_the_bill(line: BillLine, refund: Refund | None, expected: Difference) -> None:
    assert compared(line, refund=refund).shown == [expected]


@pytest.mark.parametrize("state", RefundState)
@pytest.mark.parametrize("there", LineState)
def test_a_refund_in_each_state_on_both_sides(there: LineState, state: RefundState) -> None:
    comparison = compared(replace(BACK, state=there), refund=replace(DONE, state=state))
    told = [one.kind for one in comparison.shown]
    if there is LineState.FAILED:
        right = [Mismatch.REFUND_FAILED_THERE] if state is RefundState.SUCCEEDED else []
    elif state is RefundState.SUCCEEDED or (there is LineState.OPEN and state in SENT_REFUND):
        right = []
    elif state is RefundState.SETTLED:
        right = [Mismatch.REFUNDED_BY_HAND_TOO]
    else:
        right = [Mismatch.NOT_REFUNDED_HERE]
    assert told == right
    assert comparison.theirs.refunded_fen == (0 if there is LineState.FAILED else 500)


def test_money_of_another_currency_is_in_no_sum() -> None:
    foreign = replace(TRADE, currency="USD")
    for line, payment, refund, kind, ours_fen in (
        (foreign, PAID, None, Mismatch.CURRENCY, 1999),
        (foreign, None, None, Mismatch.CURRENCY, 0),
        (replace(BACK, currency="USD"), None, DONE, Mismatch.REFUND_CURRENCY, 500),
    ):
        comparison = compared(line, payment, refund)
        (one,) = comparison.shown
        assert (one.kind, one.ours_fen, one.theirs_fen) == (kind, ours_fen, 0)
        assert (one.here, one.there) == ("CNY", f"{line.amount_fen} USD")
        assert comparison.theirs == Totals()


def test_fees_are_those_of_all_lines() -> None:
    comparison = Comparison(ALIPAY)
    comparison.compare_payment(replace(TRADE, fee_fen=12, discount_fen=100), PAID)
    comparison.compare_refund(replace(BACK, fee_fen=-3, discount_fen=-25), DONE)
    comparison.compare_refund(replace(BACK, fee_fen=-1, state=LineState.FAILED), None)
    comparison.add_repeated(replace(TRADE, fee_fen=2))
    assert (comparison.fee_fen, comparison.discount_fen) == (10, 75)


@given(
    st.builds(
        BillLine,
        st.text(),
        st.text(),
        st.integers(),
        st.booleans(),
        st.text(),
        st.integers(),
        st.integers(),
        st.sampled_from(LineState),
        st.text(),
    )
)
def test_a_line_is_the_same_after_it_was_on_disk(line: BillLine) -> None:
    assert BillLine.of_row(line.row()) == line


def test_what_is_ours_alone_or_there_twice() -> None:
    comparison = Comparison(ALIPAY)
    comparison.add_missing_payment(PAID)
    comparison.add_missing_refund(DONE)
    comparison.add_repeated(TRADE)
    comparison.add_repeated(BACK)
    assert [(one.kind, one.number, one.ours_fen, one.theirs_fen) for one in comparison.shown] == [
        (Mismatch.NOT_IN_BILL, "P1", 1999, 0),
        (Mismatch.REFUND_NOT_IN_BILL, "R1", 500, 0),
        (Mismatch.TWICE_IN_BILL, "P1", 0, 1999),
        (Mismatch.REFUND_TWICE_IN_BILL, "R1", 0, 500),
    ]


def test_all_are_counted_and_so_many_are_shown() -> None:
    comparison = Comparison(ALIPAY)
    for _ in range(MAX_SHOWN + 5):
        comparison.add_repeated(TRADE)
    assert (comparison.count, len(comparison.shown)) == (MAX_SHOWN + 5, MAX_SHOWN)


def a_line(*fields: object) -> BillLine:
    """A payment is always done."""
    line = BillLine(*fields)  # type: ignore[arg-type]
    return line if line.is_refund else replace(line, state=LineState.DONE)


numbers = st.integers(0, 5).map(str)
fens = st.integers(1, 10**10)
lines = st.builds(
    a_line,
    numbers,
    numbers,
    fens,
    st.booleans(),
    numbers,
    st.integers(-5, 5),
    st.integers(-5, 5),
    st.sampled_from(LineState),
    st.sampled_from(["CNY", "CNY", "USD"]),
)
payments = st.builds(
    lambda fen, state, kind, trade: replace(
        PAID, amount_fen=fen, state=state, payment_type=kind, trade_no=trade
    ),
    fens,
    st.sampled_from(PaymentState),
    st.sampled_from([ALIPAY, ALIPAY, PaymentType.BALANCE]),
    numbers,
)
refunds = st.builds(
    lambda fen, state, payment_sn: replace(DONE, amount_fen=fen, state=state, payment_sn=payment_sn),
    fens,
    st.sampled_from(RefundState),
    numbers,
)


@given(
    st.lists(st.tuples(lines, payments | st.none(), refunds | st.none(), st.booleans())),
    st.lists(payments),
    st.lists(refunds),
)
def test_no_fen_is_unaccounted_for(
    bill: list[tuple[BillLine, Payment | None, Refund | None, bool]],
    paid: list[Payment],
    refunded: list[Refund],
) -> None:
    comparison = Comparison(ALIPAY)
    for line, payment, refund, again in bill:
        if again:
            comparison.add_repeated(line)
        elif line.is_refund:
            comparison.compare_refund(line, refund)
        else:
            comparison.compare_payment(line, payment)
    for payment in paid:
        comparison.add_missing_payment(payment)
    for refund in refunded:
        comparison.add_missing_refund(refund)
    ours, theirs = comparison.ours, comparison.theirs
    gaps = {False: 0, True: 0}
    for one in comparison.shown:
        gaps[one.kind.is_refund] += one.ours_fen - one.theirs_fen
    assert ours.paid_fen - theirs.paid_fen == gaps[False]
    assert ours.refunded_fen - theirs.refunded_fen == gaps[True]
    counted = [
        line
        for line, *_ in bill
        if line.currency == "CNY" and not (line.is_refund and line.state is LineState.FAILED)
    ]
    assert theirs.paid_fen == sum(line.amount_fen for line in counted if not line.is_refund)
    assert theirs.refunded_fen == sum(line.amount_fen for line in counted if line.is_refund)
    assert theirs.trades + theirs.refunds == len(counted)
    assert comparison.fee_fen == sum(line.fee_fen for line, *_ in bill if line.currency == "CNY")


def test_a_day_begins_at_midnight_in_china() -> None:
    day = date(2026, 11, 21)
    assert first_ms(day) == 1_795_190_400_000
    assert [day_at(first_ms(day) + ms).day for ms in (-1, 0, 86_399_999, 86_400_000)] == [20, 21, 21, 22]
