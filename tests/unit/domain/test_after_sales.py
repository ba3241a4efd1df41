"""Refunds by request: amounts, approvals, returns, and what they do to the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import IllegalTransition, OrderServiceError, RefundOpen
from shop_order.domain.refund_errors import NotRefundable, RefundAbnormal, RefundTooLate, SecondApprovalNeeded
from shop_order.domain.status import OrderStatus, PaymentState, RefundState, RefundStatus, RefundType
from shop_order.domain.valueobject.item import Amounts, Goods, Line, Pricing
from shop_order.domain.valueobject.parties import Actor, Role
from tests.unit.domain.orders import ADMIN, BUYER, NOW_MS, WEEK_MS, attempt, money, order_in, place

OTHER_ADMIN = Actor(Role.ADMIN, 2)
RULES = RefundRules(WEEK_MS)
NUMBERS: Iterator[str] = (f"R{n:027d}" for n in range(1, 10**6))


@dataclass(frozen=True, slots=True)
class Discounted(Pricing):
    """Pricing with a discount: only then do shares of pieces have remainders."""

    discount_fen: int = 0

    def amounts(self, total_fen: int, province: str) -> Amounts:
        return Amounts(total_fen, min(self.discount_fen, total_fen), self.freight_fen)


def paid(
    *lines: tuple[int, int],
    freight_fen: int = 0,
    prices_fen: tuple[int, ...] = (1999, 5),
    discount_fen: int = 0,
) -> Order:
    goods = {n: Goods(n, f"g{n}", "", fen, True) for n, fen in enumerate(prices_fen, 1)}
    order = place(*lines, goods=goods, pricing=Discounted(freight_fen, discount_fen=discount_fen))
    payment = attempt(order)
    order.open_attempt(payment, BUYER, NOW_MS)
    money(order, payment)
    return order


def shipped(*lines: tuple[int, int], freight_fen: int = 0) -> Order:
    order = paid(*lines, freight_fen=freight_fen)
    order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    return order


def ask(order: Order, *lines: tuple[int, int], fen: int = 0, type: str = "refund_only") -> Refund:
    wish = RefundWish(RefundType(type), tuple(Line(*line) for line in lines), fen, "不想要了")
    return after_sales.request_refund(order, wish, next(NUMBERS), BUYER, NOW_MS, RULES)


def approve(order: Order, refund: Refund, freight_fen: int = 0) -> Refund:
    sn = refund.refund_sn
    return after_sales.approve(order, sn, ADMIN, NOW_MS, RULES, freight_fen=freight_fen)


def pay_back(order: Order, refund: Refund) -> Refund:
    after_sales.sent(order, refund.refund_sn, NOW_MS)
    after_sales.succeeded(order, refund.refund_sn, NOW_MS)
    return order.refunds[refund.refund_sn]


def test_a_whole_refund_before_shipping_takes_freight_and_cancels() -> None:
    order = paid((1, 1), freight_fen=800)
    refund = ask(order)
    assert (refund.amount_fen, refund.freight_fen) == (2799, 800)
    with pytest.raises(RefundOpen):
        order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    done = pay_back(order, approve(order, refund))
    assert done.restocks
    assert (order.status, order.cancel_code) == (OrderStatus.CANCELLED, "BUYER")
    assert order.refund_status is RefundStatus.WHOLE
    assert order.payments[order.payment_sn].state is PaymentState.REFUNDED
    assert [event.type for event in order.new_events][-4:] == [
        "refund.approved", "refund.sent", "refund.succeeded", "order.cancelled",
    ]  # fmt: skip


def test_the_last_part_before_shipping_takes_the_freight_too() -> None:
    order = paid((1, 1), (2, 2), freight_fen=800)
    first, second = ask(order, (1, 1)), ask(order, (2, 2))
    assert (first.amount_fen, second.amount_fen) == (1999, 10), "nothing is approved yet"
    pay_back(order, approve(order, first))
    assert not order.is_finished
    assert approve(order, second).amount_fen == 810
    pay_back(order, second)
    assert order.status is OrderStatus.CANCELLED


def test_a_second_click_on_cancel_decides_nothing() -> None:
    order, two = paid((1, 2)), RefundRules(WEEK_MS, second_approval_fen=1)
    first = after_sales.cancel_paid(order, next(NUMBERS), "缺货", ADMIN, NOW_MS, two)
    assert first is not None
    assert after_sales.cancel_paid(order, next(NUMBERS), "缺货", ADMIN, NOW_MS, two) is None
    assert [(r.refund_sn, r.approvals) for r in order.refunds.values()] == [(first.refund_sn, 1)]


def test_a_refund_that_is_confirmed_again_counts_once() -> None:
    order = shipped((1, 2))
    refund = pay_back(order, approve(order, ask(order, (1, 1))))
    version = order.version
    assert pay_back(order, refund) == refund
    assert (order.version, order.payments[order.payment_sn].refunded_fen) == (version, 1999)


def test_freight_is_asked_for_once() -> None:
    order = paid((1, 1), freight_fen=800)
    assert ask(order, fen=2500).freight_fen == 501
    assert ask(order).freight_fen == 299
    with pytest.raises(NotRefundable, match="nothing_left"):
        ask(order, fen=1)


def test_freight_that_came_back_is_not_added_again() -> None:
    order = shipped((1, 2), freight_fen=800)
    first, second = ask(order, (1, 1)), ask(order, (1, 1))
    approve(order, first, freight_fen=500)
    with pytest.raises(NotRefundable, match="more_freight_than_left"):
        approve(order, second, freight_fen=301)
    assert approve(order, second, freight_fen=300).amount_fen == 2299


def test_freight_that_came_back_is_goods_in_a_refund_that_was_asked_for_earlier() -> None:
    order = paid((1, 1), freight_fen=800)
    rejected, first, second = ask(order, fen=500), ask(order, fen=500), ask(order, fen=1100)
    assert second.freight_fen == 101, "no other goods were left"
    after_sales.reject(order, rejected.refund_sn, ADMIN, NOW_MS, reason="no")
    approve(order, first, freight_fen=800)
    with pytest.raises(NotRefundable, match="more_freight_than_left"):
        approve(order, second, freight_fen=101)
    found = approve(order, second)
    assert (found.amount_fen, found.freight_fen) == (1100, 0)
    last = approve(order, ask(order))
    assert (last.amount_fen, last.freight_fen) == (399, 0)


def test_the_second_admin_cannot_approve_freight_that_came_back_since() -> None:
    order, two = shipped((1, 2), freight_fen=800), RefundRules(WEEK_MS, second_approval_fen=2500)
    large, small = ask(order, (1, 1)), ask(order, (1, 1))
    after_sales.approve(order, large.refund_sn, ADMIN, NOW_MS, two, freight_fen=800)
    after_sales.approve(order, small.refund_sn, ADMIN, NOW_MS, two, freight_fen=100)
    with pytest.raises(NotRefundable, match="more_freight_than_left"):
        after_sales.approve(order, large.refund_sn, OTHER_ADMIN, NOW_MS, two)


def test_after_shipping_only_an_admin_adds_freight() -> None:
    order = shipped((1, 1), freight_fen=800)
    refund = ask(order)
    assert refund.amount_fen == 1999
    with pytest.raises(NotRefundable):
        approve(order, refund, freight_fen=801)
    assert approve(order, refund, freight_fen=300).amount_fen == 2299
    pay_back(order, refund)
    assert (order.status, order.refund_status) == (OrderStatus.SHIPPED, RefundStatus.PART)


def test_an_amount_alone_returns_no_goods_and_never_exceeds_what_is_left() -> None:
    order = shipped((1, 2))
    refund = ask(order, fen=1000)
    assert not pay_back(order, approve(order, refund)).restocks
    with pytest.raises(NotRefundable, match="more_than_left"):
        ask(order, fen=2999)
    assert ask(order, (1, 2)).amount_fen == 2998
    with pytest.raises(NotRefundable, match="nothing_left"):
        ask(order, fen=1)


def test_an_amount_that_cancels_the_order_returns_no_goods_but_an_admins_cancel_does() -> None:
    order, other = paid((1, 2), freight_fen=800), paid((1, 2), freight_fen=800)
    pay_back(order, approve(order, whole := ask(order, fen=order.pay_fen)))
    assert (order.status, order.refunds[whole.refund_sn].restocks) == (OrderStatus.CANCELLED, False)
    asked = ask(other, fen=other.pay_fen)
    cancelled = after_sales.cancel_paid(other, next(NUMBERS), "", ADMIN, NOW_MS, RULES)
    assert cancelled is not None
    assert other.refunds[asked.refund_sn].state is RefundState.REJECTED
    assert pay_back(other, cancelled).restocks


def test_a_return_waits_for_the_goods() -> None:
    order = shipped((1, 2))
    refund = approve(order, ask(order, (1, 1), type="return"))
    assert refund.state is RefundState.AWAITING_RETURN
    after_sales.send_parcel(order, refund.refund_sn, "中通", "ZT1", BUYER, NOW_MS)
    with pytest.raises(IllegalTransition):
        after_sales.withdraw(order, refund.refund_sn, BUYER, NOW_MS)
    assert after_sales.receive_goods(order, refund.refund_sn, ADMIN, NOW_MS).restocks
    assert not pay_back(order, refund).restocks, "once"


def test_shares_of_a_discounted_line_sum_to_what_it_cost() -> None:
    order = paid((1, 3), prices_fen=(100,), discount_fen=100)
    order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    first, second = ask(order, (1, 1)), ask(order, (1, 1))
    assert (first.amount_fen, second.amount_fen) == (66, 67)
    after_sales.withdraw(order, first.refund_sn, BUYER, NOW_MS)
    assert [ask(order, (1, 1)).amount_fen for _ in "ab"] == [66, 67], "the last part takes the remainder"


def test_nothing_is_sent_back_before_it_was_shipped() -> None:
    with pytest.raises(NotRefundable, match="not_shipped"):
        ask(paid((1, 1)), type="return")


def test_many_small_refunds_need_two_admins_as_one_large_refund_does() -> None:
    order, rules = shipped((1, 1)), RefundRules(WEEK_MS, second_approval_fen=1000)
    first, second = ask(order, fen=999), ask(order, fen=999)
    assert after_sales.approve(order, first.refund_sn, ADMIN, NOW_MS, rules).state is RefundState.APPROVED
    waiting = after_sales.approve(order, second.refund_sn, ADMIN, NOW_MS, rules)
    assert (waiting.state, waiting.approvals) == (RefundState.REQUESTED, 1)


def test_a_buyer_can_not_withdraw_what_an_admin_requested() -> None:
    order, rules = paid((1, 1)), RefundRules(WEEK_MS, second_approval_fen=1)
    opened = after_sales.cancel_paid(order, next(NUMBERS), "缺货", ADMIN, NOW_MS, rules)
    assert opened is not None
    with pytest.raises(IllegalTransition):
        after_sales.withdraw(order, opened.refund_sn, BUYER, NOW_MS)


def test_two_admins_approve_a_large_refund() -> None:
    order, rules = shipped((1, 1)), RefundRules(WEEK_MS, second_approval_fen=1999)
    sn = ask(order).refund_sn
    first = after_sales.approve(order, sn, ADMIN, NOW_MS, rules)
    assert (first.state, first.approvals) == (RefundState.REQUESTED, 1)
    with pytest.raises(SecondApprovalNeeded):
        after_sales.approve(order, sn, ADMIN, NOW_MS, rules)
    second = after_sales.approve(order, sn, OTHER_ADMIN, NOW_MS, rules)
    assert (second.state, second.approvals) == (RefundState.APPROVED, 2)


def test_nobody_alone_approves_more_than_another_admin_did() -> None:
    order, rules = shipped((1, 1), freight_fen=800), RefundRules(WEEK_MS, second_approval_fen=1)
    sn = ask(order, fen=10).refund_sn
    after_sales.approve(order, sn, ADMIN, NOW_MS, rules)
    raised = after_sales.approve(order, sn, OTHER_ADMIN, NOW_MS, rules, freight_fen=5)
    assert (raised.state, raised.approver, raised.amount_fen) == (RefundState.REQUESTED, 2, 15)
    assert after_sales.approve(order, sn, ADMIN, NOW_MS, rules).state is RefundState.APPROVED
    with pytest.raises(IllegalTransition):
        after_sales.approve(order, sn, ADMIN, NOW_MS, rules, freight_fen=6)


def test_an_admins_cancel_takes_the_place_of_what_was_asked_for() -> None:
    order = paid((1, 2), freight_fen=800)
    done, open_one = pay_back(order, approve(order, ask(order, fen=5))), ask(order, (1, 1))
    refund = after_sales.cancel_paid(order, next(NUMBERS), "缺货", ADMIN, NOW_MS, RULES)
    assert refund and (refund.amount_fen, refund.freight_fen) == (order.pay_fen - 5, 800)
    assert order.refunds[open_one.refund_sn].state is RefundState.REJECTED
    assert after_sales.cancel_paid(order, next(NUMBERS), "", ADMIN, NOW_MS, RULES) is None
    pay_back(order, refund)
    assert (order.status, order.cancel_code, order.cancel_reason) == (OrderStatus.CANCELLED, "ADMIN", "缺货")
    assert order.payments[order.payment_sn].refunded_fen == order.pay_fen > done.amount_fen


@pytest.mark.parametrize("failure", ["CLOSED", "REFUSED"])
def test_a_new_number_only_after_the_old_one_was_closed(failure: str) -> None:
    order = shipped((1, 1))
    refund = approve(order, ask(order))
    after_sales.sent(order, refund.refund_sn, NOW_MS)
    after_sales.failed(order, refund.refund_sn, NOW_MS, failure=failure)
    assert order.refund_status is RefundStatus.OPEN, "the money is still owed"
    old, closed = refund.refund_sn, failure == "CLOSED"
    for asked in ("another", *([] if closed else [old])):
        with pytest.raises(IllegalTransition):
            after_sales.send_again(order, old, ADMIN, NOW_MS, closed=asked, out_refund_no="R-new")
    number = "R-new" if closed else ""
    again = after_sales.send_again(order, old, ADMIN, NOW_MS, closed=old, out_refund_no=number)
    assert again.out_refund_no == ("R-new" if closed else old)
    after_sales.failed(order, old, NOW_MS, failure=failure, asked="an earlier number")
    assert order.refunds[old].state is RefundState.SENT, "an answer about another number is too late"


@pytest.mark.parametrize(
    ("failure", "error"), [("ABNORMAL", RefundAbnormal), ("REFUND_TOO_LATE", RefundTooLate)]
)
def test_what_the_provider_cannot_pay_is_settled_by_hand(
    failure: str, error: type[OrderServiceError]
) -> None:
    order = shipped((1, 1))
    sn = approve(order, ask(order)).refund_sn
    after_sales.sent(order, sn, NOW_MS)
    after_sales.failed(order, sn, NOW_MS, failure=failure)
    with pytest.raises(error):
        after_sales.send_again(order, sn, ADMIN, NOW_MS)
    assert after_sales.settle_by_hand(order, sn, ADMIN, NOW_MS, reason="银行转账").restocks
    assert order.refund_status is RefundStatus.WHOLE


def test_the_window_ends_after_completion() -> None:
    order = order_in(OrderStatus.COMPLETED)
    late_ms = order.completed_ms + WEEK_MS + 1
    with pytest.raises(NotRefundable, match="window_over"):
        after_sales.request_refund(order, RefundWish(), next(NUMBERS), BUYER, late_ms, RULES)


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.CANCELLED])
def test_only_money_that_paid_the_order_is_refunded(status: OrderStatus) -> None:
    with pytest.raises(NotRefundable):
        ask(order_in(status))


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["lines", "amount", "whole", "approve", "reject", "withdraw", "pay", "fail", "hand", "cancel"]
        ),
        st.integers(0, 4),
        st.integers(1, 4),
        st.integers(0, 400),
    ),
    max_size=30,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # it may share the machine
@given(
    prices=st.lists(st.integers(0, 300), min_size=2, max_size=4),
    nums=st.lists(st.integers(1, 4), min_size=4, max_size=4),
    freight_fen=st.sampled_from([0, 7, 800]),
    discount_fen=st.integers(0, 500),
    ships=st.booleans(),
    steps=steps,
)
def test_nothing_exceeds_what_was_paid(
    prices: list[int],
    nums: list[int],
    freight_fen: int,
    discount_fen: int,
    ships: bool,
    steps: list[tuple[str, int, int, int]],
) -> None:
    lines = [(n, nums[n - 1]) for n in range(1, len(prices) + 1)]
    order = paid(*lines, freight_fen=freight_fen, prices_fen=tuple(prices), discount_fen=discount_fen)
    if ships:
        order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    for what, at, pieces, fen in steps:
        numbers = list(order.refunds)
        sn = numbers[at % len(numbers)] if numbers else "R-unknown"
        with suppress(OrderServiceError, KeyError):
            if what == "lines":
                ask(order, (at % len(prices) + 1, pieces), fen=fen if fen % 3 == 0 else 0)
            else:
                STEPS[what](order, sn, fen)
        must_add_up(order, dict(lines))


def fail(order: Order, sn: str, fen: int) -> None:
    after_sales.sent(order, sn, NOW_MS)
    after_sales.failed(order, sn, NOW_MS, failure="ABNORMAL")


STEPS: dict[str, Callable[[Order, str, int], object]] = {
    "amount": lambda order, sn, fen: ask(order, fen=fen),
    "whole": lambda order, sn, fen: ask(order),
    "approve": lambda order, sn, fen: after_sales.approve(
        order, sn, ADMIN, NOW_MS, RULES, freight_fen=fen % 9
    ),
    "reject": lambda order, sn, fen: after_sales.reject(order, sn, ADMIN, NOW_MS, reason="no"),
    "withdraw": lambda order, sn, fen: after_sales.withdraw(order, sn, BUYER, NOW_MS),
    "pay": lambda order, sn, fen: pay_back(order, order.refunds[sn]),
    "fail": fail,
    "hand": lambda order, sn, fen: after_sales.settle_by_hand(order, sn, ADMIN, NOW_MS, reason="cash"),
    "cancel": lambda order, sn, fen: after_sales.cancel_paid(order, next(NUMBERS), "", ADMIN, NOW_MS, RULES),
}


def must_add_up(order: Order, sold: dict[int, int]) -> None:
    own = order.money.own_refunds()
    decided_fen = sum(refund.amount_fen for refund in own if refund.is_decided)
    assert decided_fen <= order.pay_fen
    assert order.payments[order.payment_sn].refunded_fen <= order.pay_fen
    assert all(0 <= refund.freight_fen <= refund.amount_fen and refund.amount_fen > 0 for refund in own)
    shares: dict[int, tuple[int, int]] = {}
    for refund in own:
        for line in refund.lines:
            pieces, fen = shares.get(line.goods, (0, 0))
            shares[line.goods] = pieces + line.nums, fen + line.share_fen
    assert all(pieces <= sold[goods] for goods, (pieces, _) in shares.items())
    if {goods: pieces for goods, (pieces, _) in shares.items()} == sold:
        assert sum(fen for _, fen in shares.values()) == order.total_fen - order.discount_fen
    gone = order.status is OrderStatus.CANCELLED
    refunded_fen = sum(refund.amount_fen for refund in own if refund.is_refunded)
    assert gone == (refunded_fen == order.pay_fen and not order.shipped_ms)
    if gone:
        assert not any(refund.is_open for refund in order.refunds.values())
