"""What an order is called where there is room for one line: at its provider, in a bill, in a message."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.valueobject.item import OrderItem

MOST_NAME = 100  # of the first item's name
# Letters and marks by their category, but nothing to see: fillers, joiners, variation selectors.
_IGNORABLE = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0})
_IGNORABLE_RANGES = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0000, 0xE0FFF))


def title(items: Sequence[OrderItem], order_sn: str) -> str:
    """The first item's name and how many pieces there are, in Chinese as the pages it is shown on.

    One line of visible characters, never empty: without a name it is the order's number.
    """
    name = visible(items[0].goods_name) if items else ""
    if not name:
        return f"订单 {order_sn}"
    if len(name) > MOST_NAME:
        name = name[: MOST_NAME - 1].rstrip() + "…"
    pieces = sum(item.nums for item in items)
    if len(items) > 1:
        return f"{name} 等 {pieces} 件"
    return f"{name} × {pieces}" if pieces > 1 else name


def visible(text: str) -> str:
    """The text without what can't be seen; blanks of all kinds are one space."""
    kept = (char if char.isprintable() else " " if char.isspace() else "" for char in text)
    return " ".join("".join(char for char in kept if not _is_ignorable(ord(char or " "))).split())


def _is_ignorable(code: int) -> bool:
    return code in _IGNORABLE or any(first <= code <= last for first, last in _IGNORABLE_RANGES)
