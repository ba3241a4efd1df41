"""What an order is called at its provider."""

from __future__ import annotations

import pytest

from shop_order.domain.valueobject.item import OrderItem, title

SN = "261123134500123456789012349"


def items(*named: tuple[str, int]) -> list[OrderItem]:
    return [OrderItem(n, n, name, "", 100, nums) for n, (name, nums) in enumerate(named, 1)]


@pytest.mark.parametrize(
    ("bought", "called"),
    [
        ([("苹果", 1)], "苹果"),
        ([("苹果", 3)], "苹果 × 3"),
        ([("苹果", 1), ("梨", 2)], "苹果 等 3 件"),
        ([("  a\tb\r\nc\u00a0d\u3000e  ", 1)], "a b c d e"),
        ([("a\u200bb\u202ec\x00d\u00ade\ufefff\u2028g", 1)], "abcdef g"),
        ([("\u3164\u2060\ufe0f\U000e0041\u2800", 1)], f"订单 {SN}"),
        ([("", 2), ("梨", 1)], f"订单 {SN}"),
        ([], f"订单 {SN}"),
        ([("字" * 100, 1)], "字" * 100),
        ([("字" * 101, 2)], "字" * 99 + "… × 2"),
    ],
)
def test_an_order_is_called_by_its_first_item(bought: list[tuple[str, int]], called: str) -> None:
    assert title(items(*bought), SN) == called
