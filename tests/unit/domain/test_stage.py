"""Where a buyer sees the payment of an order stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import PAY_WINDOW_MS, Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import OrderStatus, RefundState
from shop_order.service.checkout import MoneyBack, Stage, money_back, stage_of
from tests.unit.domain.orders import BUYER, NOW_MS, attempt, money, order_in, place


def with_refund(order: Order, state: RefundState, amount_fen: int, *, surplus: bool) -> Order:
    refund = Refund("R1", "P1", order.order_sn, amount_fen, state, "", surplus, NOW_MS)
    order.refunds["R1"] = replace(refund)
    return order


def test_an_unpaid_order_waits_is_confirmed_or_is_over() -> None:
    order = place()
    assert stage_of(order, order.expire_ms - 1) is Stage.PENDING
    assert stage_of(order, order.expire_ms) is Stage.OVER
    order.open_attempt(attempt(order), BUYER, NOW_MS)
    assert stage_of(order, order.expire_ms - 1) is Stage.CONFIRMING
    assert stage_of(order, order.expire_ms + 1) is Stage.CONFIRMING


def test_paying_ends_where_a_provider_would_be_too_late() -> None:
    order = place()
    assert order.may_pay(order.expire_ms - PAY_WINDOW_MS)
    assert not order.may_pay(order.expire_ms - PAY_WINDOW_MS + 1)
    assert not order_in(OrderStatus.PAID).may_pay(NOW_MS)
    assert not order_in(OrderStatus.CANCELLED).may_pay(NOW_MS)


@pytest.mark.parametrize("status", [s for s in OrderStatus if s is not OrderStatus.PENDING])
def test_what_is_decided_is_shown_so(status: OrderStatus) -> None:
    assert stage_of(order_in(status), 2**60).value == status.name.lower()


@pytest.mark.parametrize(
    ("state", "late", "own", "duplicate"),
    [
        (RefundState.REQUESTED, Stage.CANCELLED, Stage.PAID, Stage.PAID),
        (RefundState.AWAITING_RETURN, Stage.CANCELLED, Stage.PAID, Stage.PAID),
        (RefundState.WITHDRAWN, Stage.CANCELLED, Stage.PAID, Stage.PAID),
        (RefundState.RETURNED, Stage.REFUNDING, Stage.REFUNDING, Stage.PAID),
        (RefundState.SETTLED, Stage.REFUNDED, Stage.REFUNDED, Stage.PAID),
        (RefundState.APPROVED, Stage.REFUNDING, Stage.REFUNDING, Stage.PAID),
        (RefundState.SENT, Stage.REFUNDING, Stage.REFUNDING, Stage.PAID),
        (RefundState.UNKNOWN, Stage.REFUNDING, Stage.REFUNDING, Stage.PAID),
        (RefundState.FAILED, Stage.REFUNDING, Stage.REFUNDING, Stage.PAID),
        (RefundState.SUCCEEDED, Stage.REFUNDED, Stage.REFUNDED, Stage.PAID),
        (RefundState.REJECTED, Stage.CANCELLED, Stage.PAID, Stage.PAID),
    ],
)
def test_money_that_goes_back_is_shown(state: RefundState, late: Stage, own: Stage, duplicate: Stage) -> None:
    cancelled = order_in(OrderStatus.CANCELLED)
    assert stage_of(with_refund(cancelled, state, 1, surplus=True), NOW_MS) is late
    paid = order_in(OrderStatus.PAID)
    assert stage_of(with_refund(paid, state, paid.pay_fen, surplus=False), NOW_MS) is own
    assert stage_of(with_refund(paid, state, paid.pay_fen, surplus=True), NOW_MS) is duplicate


@pytest.mark.parametrize("status", [OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.COMPLETED])
def test_a_part_on_its_way_back_leaves_the_order_as_it_is(status: OrderStatus) -> None:
    order = order_in(status)
    part = with_refund(order, RefundState.SENT, order.pay_fen - 1, surplus=False)
    assert stage_of(part, NOW_MS).value == status.name.lower()
    assert money_back(part.refunds.values()) == MoneyBack(0, order.pay_fen - 1, 0)


def test_a_request_is_no_promise() -> None:
    refunds = [
        Refund(f"R{fen}", "P1", "", fen, state, "", surplus=False, created_ms=NOW_MS)
        for state, fen in (
            (RefundState.REQUESTED, 1),
            (RefundState.AWAITING_RETURN, 2),
            (RefundState.WITHDRAWN, 4),
            (RefundState.REJECTED, 8),
            (RefundState.APPROVED, 16),
            (RefundState.RETURNED, 32),
            (RefundState.SENT, 64),
            (RefundState.UNKNOWN, 128),
            (RefundState.FAILED, 256),
            (RefundState.SUCCEEDED, 512),
            (RefundState.SETTLED, 1024),
        )
    ]
    assert money_back(refunds) == MoneyBack(3, 16 + 32 + 64 + 128 + 256, 1536)


def test_a_part_that_is_back_leaves_the_order_paid() -> None:
    paid = order_in(OrderStatus.PAID)
    part = with_refund(paid, RefundState.SUCCEEDED, paid.pay_fen - 1, surplus=False)
    assert stage_of(part, NOW_MS) is Stage.PAID
    assert part.money.refunds_fen() == (0, paid.pay_fen - 1)


def test_late_money_goes_back() -> None:
    order = place()
    late = attempt(order)
    order.open_attempt(late, BUYER, NOW_MS)
    order.cancel("", BUYER, NOW_MS, code="BUYER")
    money(order, late)
    assert (stage_of(order, NOW_MS), order.money.refunds_fen()) == (Stage.REFUNDING, (order.pay_fen, 0))
    (refund,) = order.refunds
    after_sales.sent(order, refund, NOW_MS)
    after_sales.succeeded(order, refund, NOW_MS)
    assert (stage_of(order, NOW_MS), order.money.refunds_fen()) == (Stage.REFUNDED, (0, order.pay_fen))
