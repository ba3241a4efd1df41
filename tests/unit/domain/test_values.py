"""Addresses, texts and carts: what is accepted, and what is not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from shop_order.domain.entity.cart import Cart
from shop_order.domain.errors import CartLineNotFound, InvalidArgument
from shop_order.domain.valueobject.item import MAX_UNMERGED, Line, lines_of
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.domain.valueobject.text import person_name, plain_text
from tests.unit.domain.orders import ADDRESS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  "),
        ("name", "鱼" * 51),
        ("name", "a\u202eb"),
        ("name", "a\u200bb"),
        ("name", "a\u2066b"),
        ("name", "a\nb"),
        ("name", "a\0"),
        ("phone", ""),
        ("phone", "1380013800"),
        ("phone", "138001380000"),
        ("phone", "23800138000"),
        ("phone", "+12345"),
        ("phone", "+1234567890123456"),
        ("phone", "１３８００１３８０００"),
        ("phone", "13800138000\n"),
        ("phone", "138 0013 8000"),
        ("detail", ""),
        ("detail", "鱼" * 256),
        ("detail", "a\0b"),
        ("post", "1" * 21),
        ("province", "x" * 51),
        ("city", "a\x1bb"),
        ("district", "x" * 51),
    ],
)
def test_an_address_that_can_not_be_delivered_to_is_refused_by_field(field: str, value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        replace(ADDRESS, **{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "鱼" * 50),
        ("name", "O'Brien-Ünal"),
        ("phone", "13800138000"),
        ("phone", "+123456"),
        ("phone", "+123456789012345"),
        ("detail", "👨‍👩‍👧 % _ ' \" 人民路\n二楼"),
        ("detail", "👍" * 255),
        ("post", "1" * 20),
        ("province", ""),
        ("city", ""),
        ("district", ""),
    ],
)
def test_an_address_is_kept_as_it_was_sent(field: str, value: str) -> None:
    assert getattr(replace(ADDRESS, **{field: value}), field) == value


def test_length_is_counted_in_characters_not_bytes() -> None:
    assert plain_text("x", "鱼" * 5, max_length=5)
    with pytest.raises(InvalidArgument):
        plain_text("x", "a" * 6, max_length=5)
    with pytest.raises(InvalidArgument):
        plain_text("x", "\x07", max_length=5)
    assert plain_text("x", "a\tb", max_length=5) == "a\tb"
    assert person_name("x", "李") == "李"


def test_two_addresses_with_equal_fields_are_equal() -> None:
    assert PostalAddress("a", "13800138000", "b") == PostalAddress("a", "13800138000", "b")


# ---- the cart ----


def filled() -> Cart:
    cart = Cart(7, 3)
    cart.add(2, 1, checked=False, id=12, now_ms=1)
    cart.add(1, 2, checked=True, id=11, now_ms=2)
    return cart


def test_adding_goods_that_are_there_adds_up_and_keeps_the_line() -> None:
    cart = filled()
    line = cart.add(1, 3, checked=True, id=99, now_ms=5)
    assert (line.id, line.nums, line.created_ms, line.updated_ms) == (11, 5, 2, 5)


def test_a_cart_has_caps() -> None:
    cart = Cart(7, 0)
    for goods in range(1, 101):
        cart.add(goods, 999, checked=True, id=goods, now_ms=0)
    with pytest.raises(InvalidArgument):
        cart.add(101, 1, checked=True, id=101, now_ms=0)
    with pytest.raises(InvalidArgument):
        cart.add(5, 1, checked=True, id=0, now_ms=0)
    assert (len(cart.lines), cart.lines[5].nums) == (100, 999)
    for nums in (0, -1):
        with pytest.raises(InvalidArgument):
            filled().add(1, nums, checked=True, id=0, now_ms=0)


def test_a_checkout_buys_the_checked_lines_in_order_of_goods() -> None:
    cart = filled()
    assert cart.checked_lines() == (Line(1, 2),)
    cart.set_all_checked(True, now_ms=9)
    assert cart.checked_lines() == (Line(1, 2), Line(2, 1))
    cart.set_all_checked(False, now_ms=9)
    assert cart.checked_lines() == ()


def test_an_update_sets_what_is_named() -> None:
    cart = filled()
    cart.update(1, nums=7, checked=None, now_ms=9)
    cart.update(2, nums=None, checked=True, now_ms=9)
    assert [(line.goods, line.nums, line.checked) for line in cart.lines.values()] == [
        (2, 1, True),
        (1, 7, True),
    ]
    with pytest.raises(CartLineNotFound):
        cart.update(9, nums=1, checked=None, now_ms=9)
    with pytest.raises(InvalidArgument):
        cart.update(1, nums=0, checked=None, now_ms=9)


def test_lines_are_found_by_goods_and_by_their_own_id() -> None:
    cart = filled()
    assert cart.line(1) is cart.line_by_id(11)
    with pytest.raises(CartLineNotFound):
        cart.line(11)
    with pytest.raises(CartLineNotFound):
        cart.line_by_id(1)


def test_removing_what_is_not_there_is_no_error() -> None:
    cart = filled()
    cart.remove([1, 9])
    assert set(cart.lines) == {2}


def test_a_message_full_of_lines_is_refused_before_all_are_read() -> None:
    """700,000 lines fit into one message, and would keep everybody waiting for a second."""
    endless = itertools.repeat((1, 1))
    with pytest.raises(InvalidArgument) as refused:
        lines_of(endless)
    assert refused.value.details == {"field": "items", "problem": "too_many", "max": MAX_UNMERGED}
    assert len(lines_of(itertools.repeat((1, 1), MAX_UNMERGED))) == MAX_UNMERGED
