"""The replay of a chain: it knows every event, and implies exactly what the entities became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shop_order.domain.comparison import chain_fault, state_faults
from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.event import order_events as events
from shop_order.domain.event.order_events import GENESIS, Event, NewEvent, payload, seal
from shop_order.domain.ports import StoredOrder
from shop_order.domain.replay import _APPLY, UnknownEvent, replay
from shop_order.domain.status import OrderStatus
from tests.unit.domain.orders import ADMIN, BUYER, NOW_MS, WEEK_MS, order_in

TYPES = {
    value
    for name, value in vars(events).items()
    if isinstance(value, str) and name.isupper() and value.startswith(("order.", "payment.", "refund."))
}


def chained(happened: Sequence[NewEvent], order_sn: str) -> list[Event]:
    """The events as a store seals them."""
    chain: list[Event] = []
    for id, new in enumerate(happened, 1):
        chain.append(seal(new, id=id, order_sn=order_sn, prev_hash=chain[-1].hash if chain else GENESIS))
    return chain


def test_the_replay_knows_every_event() -> None:
    assert len(TYPES) > 15
    assert set(_APPLY) == TYPES, "an event of a new type needs a function in domain/replay.py"


def test_an_event_that_it_does_not_know_is_a_finding() -> None:
    order = order_in(OrderStatus.PAID)
    strange = NewEvent(order.version + 1, "order.teleported", payload({"user_id": 7}), NOW_MS)
    chain = chained([*order.new_events, strange], order.order_sn)
    with pytest.raises(UnknownEvent):
        replay(chain)
    stored = StoredOrder(order.order_sn, chain, order, {"version": order.version + 1})
    assert chain_fault(stored) is None, "the chain itself is whole"
    assert state_faults(stored, NOW_MS) == ["has an event that this version can't replay: order.teleported"]


@pytest.mark.parametrize("data", [[], {}, {"user_id": 7}, {"new_status": 9, "user_id": 7}])
def test_a_payload_that_can_not_be_read_is_a_finding(data: object) -> None:
    order = order_in(OrderStatus.PAID)
    spoilt = [replace(order.new_events[0], payload=payload(data)), *order.new_events[1:]]  # type: ignore[arg-type]
    (fault,) = state_faults(StoredOrder(order.order_sn, chained(spoilt, order.order_sn), order, {}), NOW_MS)
    assert fault.startswith("has a history that can't be replayed")


def refunded(order: Order) -> Order:
    """A part of it, then the rest, refused at first."""
    rules = RefundRules(WEEK_MS)
    for number, wish in (("R1", RefundWish(amount_fen=5)), ("R2", RefundWish())):
        after_sales.request_refund(order, wish, number, BUYER, NOW_MS, rules)
        after_sales.approve(order, number, ADMIN, NOW_MS, rules)
        after_sales.sent(order, number, NOW_MS)
        if number == "R2":
            after_sales.failed(order, number, NOW_MS, failure="CLOSED")
            after_sales.send_again(order, number, ADMIN, NOW_MS, closed=number, out_refund_no="R3")
        after_sales.succeeded(order, number, NOW_MS + 5)
    return order


@pytest.mark.parametrize("order", [*map(order_in, OrderStatus), refunded(order_in(OrderStatus.PAID))])
def test_it_implies_what_the_order_became(order: Order) -> None:
    implied = replay(chained(order.new_events, order.order_sn))
    found = {name: value for name, value in implied.order.items() if name not in RENAMED}
    assert found == {name: getattr(order, name) for name in found}
    for column, field in RENAMED.items():
        if column in implied.order:
            value = getattr(order, field)
            assert implied.order[column] == (value.code if column == "pay_type" else value)
    assert implied.items.keys() == {item.goods for item in order.items}
    assert implied.is_settled == order.is_settled
    for sn, payment in order.payments.items():
        for name in ("state", "trade_no", "paid_ms", "refunded_fen", "created_ms", "expire_ms", "trade_type"):
            assert implied.payments[sn][name] == getattr(payment, name)
    for sn, refund in order.refunds.items():
        for name in ("state", "amount_fen", "finished_ms", "freight_fen", "out_refund_no", "failure", "type"):
            assert implied.refunds[sn][name] == getattr(refund, name)
    assert implied.payments.keys() == order.payments.keys()
    assert implied.refunds.keys() == order.refunds.keys()


RENAMED = {
    "created_at": "created_ms",
    "updated_at": "updated_ms",
    "pay_time": "pay_ms",
    "pay_type": "pay_type",
}
