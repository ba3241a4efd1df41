"""Every pair of states of the three machines, walked through the verbs of the aggregate."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import IllegalTransition, OrderServiceError, UseRefund
from shop_order.domain.status import (
    OPEN_PAYMENT,
    OPEN_REFUND,
    ORDER_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    REFUND_TRANSITIONS,
    OrderStatus,
    PaymentState,
    PaymentType,
    RefundState,
    advance,
)
from tests.unit.domain.orders import ADMIN, BUYER, NOW_MS, WEEK_MS, attempt, order_in

P, R, S = PaymentState, RefundState, OrderStatus

VERBS: Mapping[OrderStatus, Callable[[Order], None]] = {
    S.PAID: lambda o: o.pay(attempt(o), BUYER, NOW_MS),
    S.SHIPPED: lambda o: o.ship("中通", "ZT9", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS),
    S.COMPLETED: lambda o: o.complete(BUYER, NOW_MS),
    S.CANCELLED: lambda o: o.cancel("不要了", BUYER, NOW_MS, code="BUYER"),
}
# What the contract allows, written out again: the table in the code must not be its own witness.
LEGAL = {
    (S.PENDING, S.PAID),
    (S.PENDING, S.CANCELLED),
    (S.PAID, S.SHIPPED),
    (S.SHIPPED, S.COMPLETED),
}
SAME_AGAIN = {(S.COMPLETED, S.COMPLETED), (S.CANCELLED, S.CANCELLED)}


@pytest.mark.parametrize("to", VERBS)
@pytest.mark.parametrize("now", S)
def test_every_pair_of_order_states(now: OrderStatus, to: OrderStatus) -> None:
    order = order_in(now)
    version, told = order.version, len(order.new_events)
    if (now, to) in LEGAL:
        VERBS[to](order)
        assert (order.status, order.version, len(order.new_events)) == (to, version + 1, told + 1)
    elif (now, to) in SAME_AGAIN:
        VERBS[to](order)
        assert (order.status, order.version) == (now, version)
    else:
        with pytest.raises(UseRefund if (now, to) == (S.PAID, S.CANCELLED) else IllegalTransition):
            VERBS[to](order)
        assert (order.status, order.version, len(order.new_events)) == (now, version, told)


def test_the_order_table_is_the_contracts() -> None:
    by_whole_refund = {(S.PAID, S.CANCELLED)}
    assert {(a, b) for a, to in ORDER_TRANSITIONS.items() for b in to} == LEGAL | by_whole_refund
    assert set(ORDER_TRANSITIONS) == set(S)


def payment_in(state: PaymentState) -> Payment:
    fen = {P.PART_REFUNDED: 30, P.REFUNDED: 100}.get(state, 0)
    return Payment("P1", "1", 7, PaymentType.ALIPAY, "page", 100, state, "", 0, 9, refunded_fen=fen)


PAYMENT_VERBS: Mapping[PaymentState, Callable[[Payment], Payment]] = {
    P.PAID: lambda p: p.paid(trade_no="T", paid_ms=1),
    P.CLOSED: lambda p: p.closed(),
    P.PART_REFUNDED: lambda p: p.refunded(1),
    P.REFUNDED: lambda p: p.refunded(100 - p.refunded_fen),
}
PAYMENT_LEGAL = (
    {(open, P.PAID) for open in OPEN_PAYMENT}
    | {(open, P.CLOSED) for open in OPEN_PAYMENT}
    | {(P.CLOSED, P.PAID), (P.PAID, P.PART_REFUNDED), (P.PAID, P.REFUNDED)}
    | {(P.PART_REFUNDED, P.PART_REFUNDED), (P.PART_REFUNDED, P.REFUNDED)}
)


@pytest.mark.parametrize("to", PAYMENT_VERBS)
@pytest.mark.parametrize("now", P)
def test_every_pair_of_payment_states(now: PaymentState, to: PaymentState) -> None:
    if (now, to) in PAYMENT_LEGAL:
        assert PAYMENT_VERBS[to](payment_in(now)).state is to
    else:
        with pytest.raises(IllegalTransition):
            PAYMENT_VERBS[to](payment_in(now))


def test_between_open_states_a_payment_only_moves_forward() -> None:
    assert set(PAYMENT_TRANSITIONS) == set(P)
    for now in OPEN_PAYMENT:
        assert P.CREATED not in PAYMENT_TRANSITIONS[now]
    assert P.PENDING not in PAYMENT_TRANSITIONS[P.PROCESSING]
    for over in (P.PAID, P.CLOSED, P.REFUNDED, P.PART_REFUNDED):
        assert not PAYMENT_TRANSITIONS[over] & OPEN_PAYMENT


REFUND_LEGAL = {
    (R.REQUESTED, R.APPROVED),
    (R.REQUESTED, R.REJECTED),
    (R.REQUESTED, R.WITHDRAWN),
    (R.REQUESTED, R.AWAITING_RETURN),
    (R.AWAITING_RETURN, R.RETURNED),
    (R.AWAITING_RETURN, R.REJECTED),
    (R.AWAITING_RETURN, R.WITHDRAWN),
    (R.RETURNED, R.SENT),
    (R.FAILED, R.SENT),
    (R.FAILED, R.SETTLED),
    (R.FAILED, R.SUCCEEDED),
    (R.APPROVED, R.SENT),
    (R.SENT, R.UNKNOWN),
    (R.SENT, R.SUCCEEDED),
    (R.SENT, R.FAILED),
    (R.UNKNOWN, R.SENT),
    (R.UNKNOWN, R.SUCCEEDED),
    (R.UNKNOWN, R.FAILED),
}


@pytest.mark.parametrize("to", R)
@pytest.mark.parametrize("now", R)
def test_every_pair_of_refund_states(now: RefundState, to: RefundState) -> None:
    refund = Refund("R1", "P1", "1", 5, now, "", True, 0)
    if (now, to) in REFUND_LEGAL:
        assert refund.to(to).state is to
    else:
        with pytest.raises(IllegalTransition):
            refund.to(to)
    assert set(REFUND_TRANSITIONS) == set(R)
    assert refund.is_open == (now in OPEN_REFUND)


@pytest.mark.parametrize(
    ("state", "wire"),
    [
        (P.CREATED, 1),
        (P.PENDING, 1),
        (P.PROCESSING, 1),
        (P.UNKNOWN, 1),
        (P.PAID, 2),
        (P.PART_REFUNDED, 2),
        (P.REFUNDED, 3),
        (P.CLOSED, 4),
    ],
)
def test_the_wire_number_of_a_payment_state(state: PaymentState, wire: int) -> None:
    assert state.wire == wire


def test_a_refusal_says_from_where_to_where() -> None:
    with pytest.raises(IllegalTransition) as refused:
        advance(ORDER_TRANSITIONS, S.COMPLETED, S.PENDING)
    assert refused.value.details == {
        "problem": "set_by_payment",
        "state": "COMPLETED",
        "wanted": "PENDING",
    }
    assert isinstance(refused.value, OrderServiceError)
