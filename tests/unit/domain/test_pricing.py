"""Freight: sums that add up, thresholds, zones, and bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.domain.errors import InvalidArgument, PriceChanged
from shop_order.domain.valueobject.item import MAX_ORDER_FEN, Pricing
from shop_order.domain.valueobject.parties import PostalAddress
from tests.unit.domain.orders import place

FAR = {"浙江": 0, "新疆": 1500, "西藏": 2000}
fen = st.integers(0, 10_000_000)


def to(province: str) -> PostalAddress:
    return PostalAddress("王小明", "13800138000", "人民路 1 号", province)


@pytest.mark.parametrize(
    ("total_fen", "freight_fen"), [(0, 800), (1, 800), (9899, 800), (9900, 0), (9901, 0), (MAX_ORDER_FEN, 0)]
)
def test_freight_is_free_from_the_threshold_on(total_fen: int, freight_fen: int) -> None:
    assert Pricing(800, 9900).freight_of(total_fen) == freight_fen


@pytest.mark.parametrize("total_fen", [0, 1, 10**9])
def test_a_threshold_of_0_frees_nobody(total_fen: int) -> None:
    assert Pricing(800, 0).freight_of(total_fen) == 800


@pytest.mark.parametrize(
    ("province", "added_fen"),
    [
        ("浙江省", 0),
        ("新疆", 1500),
        (" 新疆维吾尔自治区", 1500),
        ("西藏自治区", 2000),
        ("", 2000),
        ("Xinjiang", 2000),
    ],
)
def test_a_zone_is_named_by_its_beginning_and_who_names_none_pays_the_dearest(
    province: str, added_fen: int
) -> None:
    for rules in (Pricing(800, 0, FAR), Pricing(800, 1, FAR)):
        base_fen = rules.freight_of(5000)
        assert rules.amounts(5000, province).freight_fen == base_fen + added_fen


def test_without_zones_nobody_asks_for_the_province() -> None:
    assert Pricing(800).amounts(5000, "").freight_fen == 800


@given(
    total_fen=st.integers(0, MAX_ORDER_FEN), freight_fen=fen, free_fen=fen, far_fen=fen, to_far=st.booleans()
)
def test_the_sums_of_every_order_add_up(
    total_fen: int, freight_fen: int, free_fen: int, far_fen: int, to_far: bool
) -> None:
    rules = Pricing(freight_fen, free_fen, {"浙江": 0, "新疆": far_fen})
    try:
        sums = rules.amounts(total_fen, "新疆" if to_far else "浙江省")
    except InvalidArgument:
        assert total_fen + freight_fen + far_fen > MAX_ORDER_FEN
        return
    assert sums.total_fen == total_fen
    assert sums.pay_fen == max(total_fen - sums.discount_fen + sums.freight_fen, 1) <= MAX_ORDER_FEN
    waived = free_fen > 0 and total_fen >= free_fen
    assert sums.freight_fen == (0 if waived else freight_fen) + (far_fen if to_far else 0)


def test_a_sum_that_only_freight_puts_out_of_bounds_is_refused() -> None:
    assert Pricing(1).amounts(MAX_ORDER_FEN - 1, "").pay_fen == MAX_ORDER_FEN
    with pytest.raises(InvalidArgument, match="total_too_large"):
        Pricing(1).amounts(MAX_ORDER_FEN, "")


def test_an_order_pays_its_freight_and_its_first_event_tells_it() -> None:
    order = place((1, 1), pricing=Pricing(800, 0, FAR), address=to("新疆"))
    assert (order.total_fen, order.discount_fen, order.freight_fen, order.pay_fen) == (1999, 0, 2300, 4299)
    told = json.loads(order.new_events[0].payload)
    assert (told["total_fen"], told["freight_fen"], told["pay_fen"]) == (1999, 2300, 4299)


def test_what_a_caller_expects_to_pay_has_the_freight_in_it() -> None:
    rules = Pricing(800)
    assert place((1, 1), pricing=rules, expected_fen=2799).pay_fen == 2799
    with pytest.raises(PriceChanged) as refused:
        place((1, 1), pricing=rules, expected_fen=1999)
    details = refused.value.details
    assert (details["expected_fen"], details["actual_fen"], details["freight_fen"]) == (1999, 2799, 800)
