"""Placing: prices of today, sums that hold, and a history without anybody's name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import EmptyOrder, GoodsUnavailable, InvalidArgument, PriceChanged, UseRefund
from shop_order.domain.event.order_events import GENESIS, NewEvent, event_hash, payload, seal
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.item import MAX_ORDER_FEN, Line, merge_lines
from tests.unit.domain.orders import (
    ADDRESS,
    ADMIN,
    BUYER,
    GOODS,
    NOW_MS,
    PAY_TIMEOUT_MS,
    SN,
    WEEK_MS,
    order_in,
    place,
)


def test_an_order_has_todays_names_and_prices() -> None:
    order = place((1, 3), (2, 2))
    assert [(i.goods, i.goods_name, i.price_fen, i.nums, i.total_fen) for i in order.items] == [
        (1, "苹果", 1999, 3, 5997),
        (2, "梨", 5, 2, 10),
    ]
    assert (order.total_fen, order.discount_fen, order.freight_fen, order.pay_fen) == (6007, 0, 0, 6007)
    assert (order.status, order.user, order.version) == (OrderStatus.PENDING, 7, 1)
    assert (order.expire_ms, order.due_ms) == (NOW_MS + PAY_TIMEOUT_MS,) * 2
    assert len({order.id, *(item.id for item in order.items)}) == 3


def test_nothing_is_no_order() -> None:
    with pytest.raises(EmptyOrder):
        Order.place([], GOODS, order_sn=SN, actor=BUYER, address=ADDRESS, note="", pay_type=0, now_ms=0,  # type: ignore[arg-type]
                    pay_timeout_ms=0, next_id=lambda: 1, salt="")  # fmt: skip


def test_goods_that_are_gone_or_off_sale_are_named() -> None:
    shelf = {1: GOODS[1], 2: replace(GOODS[2], on_sale=False)}
    with pytest.raises(GoodsUnavailable) as refused:
        place((1, 1), (2, 1), (3, 1), goods=shelf)
    assert refused.value.details == {"goods_ids": "2,3"}


def test_free_goods_cost_one_fen() -> None:
    assert place((1, 5), goods={1: replace(GOODS[1], price_fen=0)}).pay_fen == 1


def test_a_price_that_moved_is_refused_with_both_sums() -> None:
    assert place((1, 1), expected_fen=1999).pay_fen == 1999
    with pytest.raises(PriceChanged) as refused:
        place((1, 1), expected_fen=1998)
    assert (refused.value.details["expected_fen"], refused.value.details["actual_fen"]) == (1998, 1999)
    assert "1=1999" in str(refused.value.details)


def test_a_sum_nobody_can_pay_is_refused() -> None:
    dear = {1: replace(GOODS[1], price_fen=MAX_ORDER_FEN)}
    assert place((1, 1), goods=dear).pay_fen == MAX_ORDER_FEN
    with pytest.raises(InvalidArgument):
        place((1, 2), goods=dear)


@pytest.mark.parametrize("note", ["x" * 256, "a\0b", "\ud800"])
def test_a_note_that_can_not_be_kept_is_refused(note: str) -> None:
    with pytest.raises(InvalidArgument):
        place(note=note)
    assert place(note="鱼" * 255).note == "鱼" * 255


# ---- lines ----


@pytest.mark.parametrize(
    ("goods", "nums"), [(0, 1), (-1, 1), (2**63, 1), (1, 0), (1, -1), (1, 1000), (1, 2**32 + 5)]
)
def test_a_line_has_a_goods_id_and_1_to_999(goods: int, nums: int) -> None:
    with pytest.raises(InvalidArgument):
        Line(goods, nums)


def test_equal_goods_are_added_up_and_the_cap_is_checked_again() -> None:
    assert merge_lines([Line(2, 1), Line(1, 500), Line(2, 3), Line(1, 499)]) == (Line(1, 999), Line(2, 4))
    with pytest.raises(InvalidArgument):
        merge_lines([Line(1, 500), Line(1, 500)])
    assert len(merge_lines(Line(n, 1) for n in range(1, 101))) == 100
    with pytest.raises(InvalidArgument):
        merge_lines(Line(n, 1) for n in range(1, 102))
    assert len(merge_lines([Line(1, 1)] * 101)) == 1


# ---- verbs ----


def test_a_cancelled_order_keeps_the_buyers_words_out_of_the_history() -> None:
    order = place()
    order.cancel("我妈妈 13900139000 不同意", BUYER, NOW_MS, code="BUYER")
    told = json.loads(order.new_events[-1].payload)
    assert (told["reason"], told["old_status"], told["new_status"]) == ("BUYER", 1, 5)
    assert "13900139000" not in order.new_events[-1].payload.decode()
    assert (order.cancel_reason, order.due_ms) == ("我妈妈 13900139000 不同意", None)


def test_a_paid_order_asks_for_a_refund_instead() -> None:
    for actor in (BUYER, ADMIN):
        with pytest.raises(UseRefund):
            order_in(OrderStatus.PAID).cancel("", actor, NOW_MS, code="X")


def test_a_parcel_confirms_itself_after_a_week_and_the_same_parcel_again_is_no_error() -> None:
    order = order_in(OrderStatus.PAID)
    order.ship("顺丰", "SF1", ADMIN, NOW_MS + 5, auto_confirm_ms=WEEK_MS)
    assert (order.shipped_ms, order.due_ms) == (NOW_MS + 5, NOW_MS + 5 + WEEK_MS)
    version = order.version
    order.ship("顺丰", "SF1", ADMIN, NOW_MS + 9, auto_confirm_ms=WEEK_MS)
    assert (order.version, order.shipped_ms) == (version, NOW_MS + 5)
    order.complete(BUYER, NOW_MS + 10)
    order.ship("顺丰", "SF1", ADMIN, NOW_MS + 11, auto_confirm_ms=WEEK_MS)
    assert (order.version, order.status) == (version + 1, OrderStatus.COMPLETED)


@pytest.mark.parametrize(
    ("company", "no"), [("", "1"), ("顺丰", ""), (" ", "1"), ("x" * 51, "1"), ("a", "1\0")]
)
def test_a_parcel_has_a_company_and_a_number(company: str, no: str) -> None:
    order = order_in(OrderStatus.PAID)
    with pytest.raises(InvalidArgument):
        order.ship(company, no, ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    assert order.status is OrderStatus.PAID


# ---- events ----


def test_no_event_of_a_whole_life_names_a_person() -> None:
    order = order_in(OrderStatus.COMPLETED)
    for happened in order.new_events:
        text = happened.payload.decode()
        for private in (ADDRESS.name, ADDRESS.phone, ADDRESS.detail):
            assert private not in text
    assert [h.version for h in order.new_events] == list(range(1, order.version + 1))


def test_an_event_tells_who_did_what() -> None:
    order = order_in(OrderStatus.SHIPPED)
    created, opened, paid, shipped = (json.loads(h.payload) for h in order.new_events)
    assert (created["old_status"], created["new_status"]) == (0, 1)
    assert created["lines"] == [
        {"goods_id": 1, "nums": 1, "price_fen": 1999},
        {"goods_id": 2, "nums": 2, "price_fen": 5},
    ]
    assert created["expire_at_ms"] == order.expire_ms
    assert (opened["operator"], opened["operator_id"], opened["user_id"]) == ("user", 7, 7)
    assert (paid["operator"], paid["pay_fen"], paid["payment_type"]) == ("system", 2009, 1)
    assert (shipped["operator"], shipped["logistics_no"]) == ("admin", "SF1")


def test_a_link_depends_on_every_column() -> None:
    columns: dict[str, object] = {
        "id": 5,
        "order_sn": SN,
        "version": 2,
        "type": "order.paid",
        "payload": b"{}",
        "created_ms": NOW_MS,
    }
    first = event_hash(GENESIS, **columns)  # type: ignore[arg-type]
    others: dict[str, object] = {
        "id": 6,
        "order_sn": SN[:-1] + "2",
        "version": 3,
        "type": "order.paie",
        "payload": b"{ }",
        "created_ms": NOW_MS + 1,
    }
    changed = [event_hash(GENESIS, **(columns | {name: other})) for name, other in others.items()]  # type: ignore[arg-type]
    changed.append(event_hash(b"\1" * 32, **columns))  # type: ignore[arg-type]
    assert len({first, *changed}) == 8


def test_sealing_chains_to_what_happened_before() -> None:
    one = seal(NewEvent(1, "a", b"1", NOW_MS), id=1, order_sn=SN, prev_hash=GENESIS)
    two = seal(NewEvent(2, "b", b"2", NOW_MS), id=2, order_sn=SN, prev_hash=one.hash)
    assert two.prev_hash == one.hash
    expected = event_hash(one.hash, id=2, order_sn=SN, version=2, type="b", payload=b"2", created_ms=NOW_MS)
    assert two.hash == expected != one.hash


def test_the_same_data_has_the_same_bytes() -> None:
    assert payload({"b": 1, "a": "鱼"}) == payload({"a": "鱼", "b": 1}) == '{"a":"鱼","b":1}'.encode()
