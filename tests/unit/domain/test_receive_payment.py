"""The money comes once, late, twice, wrong: what the order does with it."""

from __future__ import annotations

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import AmountMismatch, IllegalTransition, PayWindowClosed
from shop_order.domain.status import OrderStatus, PaymentState, RefundState, RefundStatus
from shop_order.domain.valueobject.parties import SYSTEM
from tests.unit.domain.orders import ADMIN, BUYER, NOW_MS, WEEK_MS, attempt, money, order_in, place

S = OrderStatus


def types(order: Order) -> list[str]:
    return [h.type for h in order.new_events]


def test_money_pays_a_pending_order() -> None:
    order = place()
    payment = attempt(order)
    order.open_attempt(payment, BUYER, NOW_MS)
    money(order, payment)
    assert (order.status, order.payment_sn, order.trade_no) == (
        S.PAID,
        payment.payment_sn,
        f"T{payment.payment_sn}",
    )
    assert (order.pay_ms, order.due_ms) == (NOW_MS + 1, None)
    assert types(order) == ["order.created", "payment.opened", "order.paid"]
    assert order.shown_payment() == order.payments[payment.payment_sn]


@pytest.mark.parametrize("status", [S.PAID, S.SHIPPED, S.COMPLETED, S.CANCELLED])
def test_money_of_another_attempt_is_given_back(status: OrderStatus) -> None:
    order = order_in(status)
    second = attempt(order)
    order.payments[second.payment_sn] = second
    before = order.version
    money(order, second)
    (refund,) = order.refunds.values()
    assert (refund.amount_fen, refund.payment_sn, refund.state, refund.surplus) == (
        order.pay_fen,
        second.payment_sn,
        RefundState.APPROVED,
        True,
    )
    assert refund.reason == ("LATE_PAYMENT" if status is S.CANCELLED else "DUPLICATE_PAYMENT")
    assert (order.status, order.version) == (status, before + 2)
    assert types(order)[-2:] == ["refund.requested", "refund.approved"]
    money(order, second)
    assert (len(order.refunds), order.version) == (1, before + 2), "told twice, nothing changes"


def test_surplus_money_does_not_hold_up_the_parcel() -> None:
    order = order_in(S.PAID)
    second = attempt(order)
    order.payments[second.payment_sn] = second
    money(order, second)
    order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    order.complete(BUYER, NOW_MS)
    assert order.status is S.COMPLETED


@pytest.mark.parametrize("off_by", [-1, 1])
@pytest.mark.parametrize("status", [S.PENDING, S.CANCELLED])
def test_another_amount_changes_nothing(off_by: int, status: OrderStatus) -> None:
    order = place()
    payment = attempt(order)
    order.open_attempt(payment, BUYER, NOW_MS)
    if status is S.CANCELLED:
        order.cancel("", BUYER, NOW_MS, code="BUYER")
    version = order.version
    with pytest.raises(AmountMismatch):
        money(order, payment, amount_fen=payment.amount_fen + off_by)
    assert (order.status, order.version, order.payments[payment.payment_sn]) == (status, version, payment)


def test_one_attempt_can_not_be_paid_by_two_trades() -> None:
    order = order_in(S.PAID)
    (payment,) = order.payments.values()
    version = order.version
    money(order, payment)
    assert order.version == version
    with pytest.raises(AmountMismatch):
        money(order, payment, trade_no="another")


def test_money_of_an_attempt_that_was_closed_still_pays() -> None:
    order = place()
    first = attempt(order)
    order.open_attempt(first, BUYER, NOW_MS)
    order.close_attempt(first.payment_sn, BUYER, NOW_MS)
    second = attempt(order, "wap")
    order.open_attempt(second, BUYER, NOW_MS)
    money(order, first)
    assert (order.status, order.payment_sn) == (S.PAID, first.payment_sn)
    money(order, second)
    assert order.payments[second.payment_sn].state is PaymentState.PAID
    assert [r.payment_sn for r in order.refunds.values()] == [second.payment_sn]


def test_there_is_one_open_attempt_at_most() -> None:
    order = place()
    order.open_attempt(attempt(order), BUYER, NOW_MS)
    with pytest.raises(IllegalTransition):
        order.open_attempt(attempt(order), BUYER, NOW_MS)
    assert len(order.payments) == 1


def test_closing_again_or_after_the_money_changes_nothing() -> None:
    order = order_in(S.PAID)
    (sn,) = order.payments
    order.close_attempt(sn, BUYER, NOW_MS)
    assert order.payments[sn].state is PaymentState.PAID
    assert types(order)[-1] == "order.paid"


@pytest.mark.parametrize(("left_ms", "open"), [(90_000, True), (89_999, False), (0, False), (-1, False)])
def test_with_less_than_90_s_left_no_attempt_opens(left_ms: int, open: bool) -> None:
    order = place()
    now_ms = order.expire_ms - left_ms
    if open:
        order.open_attempt(attempt(order), BUYER, now_ms)
    else:
        with pytest.raises(PayWindowClosed):
            order.open_attempt(attempt(order), BUYER, now_ms)


@pytest.mark.parametrize("status", [S.PAID, S.SHIPPED, S.COMPLETED, S.CANCELLED])
def test_only_a_pending_order_is_paid(status: OrderStatus) -> None:
    order = order_in(status)
    with pytest.raises(IllegalTransition):
        order.open_attempt(attempt(order), BUYER, NOW_MS)


def test_a_refund_goes_out_once_and_succeeds_once() -> None:
    order = order_in(S.CANCELLED)
    payment = attempt(order)
    order.payments[payment.payment_sn] = payment
    money(order, payment)
    (sn,) = order.refunds
    with pytest.raises(IllegalTransition):
        after_sales.succeeded(order, sn, NOW_MS)
    after_sales.sent(order, sn, NOW_MS)
    after_sales.sent(order, sn, NOW_MS)
    after_sales.succeeded(order, sn, NOW_MS)
    after_sales.succeeded(order, sn, NOW_MS)
    assert types(order)[-2:] == ["refund.sent", "refund.succeeded"]
    paid = order.payments[payment.payment_sn]
    assert (paid.state, paid.refunded_fen) == (PaymentState.REFUNDED, order.pay_fen)
    with pytest.raises(IllegalTransition):
        after_sales.failed(order, sn, NOW_MS)


def test_a_refund_that_failed_leaves_the_money_where_it_is() -> None:
    order = order_in(S.CANCELLED)
    payment = attempt(order)
    order.payments[payment.payment_sn] = payment
    money(order, payment)
    (sn,) = order.refunds
    after_sales.sent(order, sn, NOW_MS)
    after_sales.failed(order, sn, NOW_MS)
    assert order.refunds[sn].state is RefundState.FAILED
    assert order.payments[payment.payment_sn].refunded_fen == 0


def late(order: Order) -> str:
    """The refund of one more payment of a cancelled order."""
    payment = attempt(order)
    order.payments[payment.payment_sn] = payment
    money(order, payment)
    return f"R{payment.payment_sn[1:]}"


def test_late_money_is_an_open_refund_until_all_of_it_is_back() -> None:
    order = order_in(S.CANCELLED)
    seen = [order.refund_status]
    refunds = [late(order), late(order)]
    seen.append(order.refund_status)
    for sn in refunds:
        after_sales.sent(order, sn, NOW_MS)
        seen.append(order.refund_status)
        after_sales.succeeded(order, sn, NOW_MS)
        seen.append(order.refund_status)
    none, is_open, whole = RefundStatus.NONE, RefundStatus.OPEN, RefundStatus.WHOLE
    assert seen == [none, is_open, is_open, is_open, is_open, whole]
    assert order.is_settled


def test_late_money_that_the_provider_does_not_give_back_is_an_open_refund() -> None:
    order = order_in(S.CANCELLED)
    sn = late(order)
    after_sales.sent(order, sn, NOW_MS)
    after_sales.failed(order, sn, NOW_MS)
    assert order.refund_status is RefundStatus.OPEN, "the buyer has not got it back"
    assert not order.is_settled


def test_a_cancelled_order_is_cancelled_whatever_becomes_of_late_money() -> None:
    order = order_in(S.CANCELLED)
    late(order)
    with pytest.raises(IllegalTransition):
        order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    with pytest.raises(IllegalTransition):
        order.complete(BUYER, NOW_MS)


@pytest.mark.parametrize("status", [S.PAID, S.SHIPPED, S.COMPLETED])
@pytest.mark.parametrize("fails", [False, True])
def test_a_duplicate_payment_never_changes_the_refund_status(status: OrderStatus, fails: bool) -> None:
    order = order_in(status)
    sn = late(order)
    seen = [order.refund_status]
    after_sales.sent(order, sn, NOW_MS)
    seen.append(order.refund_status)
    (after_sales.failed if fails else after_sales.succeeded)(order, sn, NOW_MS)
    assert {*seen, order.refund_status} == {RefundStatus.NONE}


def test_a_late_payment_is_shown_though_another_attempt_is_newer() -> None:
    order = place()
    first, second = attempt(order), attempt(order)
    for payment in (first, second):
        order.open_attempt(payment, BUYER, NOW_MS)
        order.close_attempt(payment.payment_sn, BUYER, NOW_MS)
    order.cancel("", SYSTEM, NOW_MS, code="TIMEOUT")
    assert order.shown_payment() == order.payments[second.payment_sn]
    money(order, first)
    assert order.shown_payment() == order.payments[first.payment_sn]
    assert (order.payment_sn, order.trade_no) == ("", ""), "nothing has paid the order"


def test_why_an_order_was_cancelled_is_never_unsaid() -> None:
    said, silent = place(), place()
    assert said.shown_cancel_reason == ""
    said.cancel("拍错了", BUYER, NOW_MS, code="BUYER")
    silent.cancel("", SYSTEM, NOW_MS, code="TIMEOUT")
    assert (said.shown_cancel_reason, said.cancel_code) == ("拍错了", "BUYER")
    assert (silent.shown_cancel_reason, silent.cancel_code) == ("TIMEOUT", "TIMEOUT")


def test_the_latest_attempt_is_shown_until_one_has_paid() -> None:
    order = place()
    assert order.shown_payment() is None
    first, second = attempt(order), attempt(order)
    order.open_attempt(first, BUYER, NOW_MS)
    order.close_attempt(first.payment_sn, BUYER, NOW_MS)
    order.open_attempt(second, BUYER, NOW_MS)
    assert order.shown_payment() == second
    money(order, first)
    shown = order.shown_payment()
    assert shown is not None
    assert shown.payment_sn == first.payment_sn


def test_an_attempt_that_was_closed_is_never_opened_again() -> None:
    order = place()
    payment = attempt(order)
    order.open_attempt(payment, BUYER, NOW_MS)
    order.close_attempt(payment.payment_sn, BUYER, NOW_MS)
    with pytest.raises(IllegalTransition):
        order.open_attempt(payment, BUYER, NOW_MS)
    assert order.payments[payment.payment_sn].state is PaymentState.CLOSED
