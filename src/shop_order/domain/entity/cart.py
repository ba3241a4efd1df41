"""The shopping cart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from shop_order.domain.errors import CartLineNotFound, InvalidArgument
from shop_order.domain.valueobject.item import MAX_LINES, MAX_NUMS, Line


@dataclass(frozen=True, slots=True)
class CartLine:
    """One product in the cart; the next checkout buys the `checked` lines."""

    id: int
    goods: int
    nums: int
    checked: bool
    created_ms: int
    updated_ms: int


@dataclass(slots=True)
class Cart:
    """The cart of one user: lines by goods id; `version` grows with every change."""

    user: int
    version: int
    lines: dict[int, CartLine] = field(default_factory=dict)

    def add(self, goods: int, nums: int, *, checked: bool, id: int, now_ms: int) -> CartLine:
        """Add `nums` pieces of the goods, in a new line with this `id` if there is none.

        Raises InvalidArgument above 999 pieces of one product, or above 100 lines.
        """
        Line(goods, nums)
        line = self.lines.get(goods)
        if line is None and len(self.lines) >= MAX_LINES:
            raise InvalidArgument("goods_id", "cart_full", max=MAX_LINES)
        if line is None:
            line = CartLine(id, goods, nums, checked, now_ms, now_ms)
        elif line.nums + nums > MAX_NUMS:
            raise InvalidArgument("nums", "too_many_of_one_goods", max=MAX_NUMS, goods_id=goods)
        else:
            line = replace(line, nums=line.nums + nums, checked=checked, updated_ms=now_ms)
        self.lines[goods] = line
        return line

    def update(self, goods: int, *, nums: int | None, checked: bool | None, now_ms: int) -> CartLine:
        """Set the quantity or the check mark of a line; None leaves it as it is.

        Raises InvalidArgument, CartLineNotFound.
        """
        line = self.line(goods)
        if nums is not None:
            Line(goods, nums)
            line = replace(line, nums=nums)
        if checked is not None:
            line = replace(line, checked=checked)
        self.lines[goods] = line = replace(line, updated_ms=now_ms)
        return line

    def set_all_checked(self, checked: bool, *, now_ms: int) -> None:
        """Set the check mark of every line."""
        for goods, line in self.lines.items():
            if line.checked != checked:
                self.lines[goods] = replace(line, checked=checked, updated_ms=now_ms)

    def remove(self, goods_ids: Iterable[int]) -> None:
        """Remove these goods, ignoring those that are not in the cart."""
        for goods in goods_ids:
            self.lines.pop(goods, None)

    def line(self, goods: int) -> CartLine:
        """The line of these goods. Raises CartLineNotFound."""
        if goods not in self.lines:
            raise CartLineNotFound
        return self.lines[goods]

    def line_by_id(self, id: int) -> CartLine:
        """The line with this id. Raises CartLineNotFound."""
        for line in self.lines.values():
            if line.id == id:
                return line
        raise CartLineNotFound

    def checked_lines(self) -> tuple[Line, ...]:
        """The checked lines, sorted by goods id."""
        return tuple(Line(goods, line.nums) for goods, line in sorted(self.lines.items()) if line.checked)
