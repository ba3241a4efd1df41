import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg.money import (
    MAX_FLOAT32_FEN,
    BadAmount,
    fen_of_float32,
    fen_of_yuan,
    float32_of_fen,
    yuan_of_fen,
)


@given(st.integers(0, 10**17))
def test_yuan_text_keeps_every_fen(fen: int) -> None:
    assert fen_of_yuan(yuan_of_fen(fen)) == fen


@pytest.mark.parametrize(
    ("text", "fen"), [("0", 0), ("0.1", 10), ("19.99", 1999), ("20", 2000), ("131072.01", 13107201)]
)
def test_yuan_texts(text: str, fen: int) -> None:
    assert fen_of_yuan(text) == fen


def test_a_discount_is_shown_with_its_sign() -> None:
    assert yuan_of_fen(-105) == "-1.05"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "Infinity",
        "1e3",
        "1.999",
        "-1.00",
        "+1",
        " 1",
        "1\n",
        "1.",
        ".5",
        "01.00",
        "1,000.00",
        "٣.00",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        fen_of_yuan(text)


@given(st.integers(0, MAX_FLOAT32_FEN))
def test_the_float_on_the_wire_keeps_every_fen(fen: int) -> None:
    assert fen_of_float32(float32_of_fen(fen)) == fen


@given(st.floats(width=32, min_value=0, max_value=131072))
def test_a_float_is_taken_only_if_it_is_the_float32_of_its_fen(value: float) -> None:
    try:
        fen = fen_of_float32(value)
    except BadAmount:
        nearest = round(value * 100)
        assert struct.pack("<f", nearest / 100) != struct.pack("<f", value)
    else:
        assert float32_of_fen(fen) == value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -0.01, 131072.015625, 200000.0, 0.001, 19.99, 1.0000001192092896]
)
def test_floats_that_hide_a_fen_are_refused(value: float) -> None:
    with pytest.raises(BadAmount):
        fen_of_float32(value)
