"""What an order is called where there is room for one line: at its provider, in a bill, in a message."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.valueobject.item import OrderItem
from shop_order.domain.valueobject.text import is_visible, without_invisible

MOST_NAME = 100  # of the first item's name


def title(items: Sequence[OrderItem], order_sn: str) -> str:
    """The first item's name and how many pieces there are, in Chinese as the pages it is shown on.

    One line of visible characters, never empty: without a name it is the order's number.
    """
    name = one_line(items[0].goods_name) if items else ""
    if not is_visible(name):
        return f"订单 {order_sn}"
    if len(name) > MOST_NAME:
        name = name[: MOST_NAME - 1].rstrip() + "…"
    pieces = sum(item.nums for item in items)
    if len(items) > 1:
        return f"{name} 等 {pieces} 件"
    return f"{name} × {pieces}" if pieces > 1 else name


def one_line(text: str) -> str:
    """The text without what can't be seen; blanks of all kinds are one space."""
    kept = (char if char.isprintable() else " " if char.isspace() else "" for char in text)
    return " ".join(without_invisible("".join(kept)).split())
