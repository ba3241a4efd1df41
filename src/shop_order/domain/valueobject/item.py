"""Products and quantities: lines of a cart, items of an order, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shop_order.domain.errors import EmptyOrder, GoodsUnavailable, InvalidArgument
from shop_order.domain.valueobject.text import is_visible, one_line

MAX_NUMS = 999
MAX_LINES = 100
MAX_UNMERGED = 1000  # lines of a request, some of the same goods; a message of 4 MiB has 700,000
MAX_ID = 2**63 - 1
MAX_ORDER_FEN = 10**13  # 100 billion yuan: totals stay far within int64
MAX_TITLE_NAME = 100  # characters of the first item's name in a title


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A quantity of one product."""

    goods: int
    nums: int

    def __post_init__(self) -> None:
        if not 0 < self.goods <= MAX_ID:
            raise InvalidArgument("goods_id", "not_an_id")
        if not 0 < self.nums <= MAX_NUMS:
            raise InvalidArgument("nums", "out_of_range", min=1, max=MAX_NUMS)


def at_least(field: str, value: int, least: int) -> int:
    """The value. Raises InvalidArgument if it is smaller."""
    if value < least:
        raise InvalidArgument(field, "too_small", min=least)
    return value


def lines_of(wanted: Iterable[tuple[int, int]]) -> tuple[Line, ...]:
    """Lines of (goods id, quantity). Raises InvalidArgument with the line in its field: `items[2].nums`."""
    lines: list[Line] = []
    for goods, nums in wanted:
        if len(lines) == MAX_UNMERGED:
            raise InvalidArgument("items", "too_many", max=MAX_UNMERGED)
        try:
            lines.append(Line(goods, nums))
        except InvalidArgument as wrong:
            raise wrong.under(f"items[{len(lines)}]") from None
    return tuple(lines)


def merge_lines(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Merge lines of the same goods, sorted by goods id; limits apply to the sums.

    Raises InvalidArgument above 100 lines, or 999 pieces of one product.
    """
    nums: dict[int, int] = {}
    for line in lines:
        nums[line.goods] = nums.get(line.goods, 0) + line.nums
    if len(nums) > MAX_LINES:
        raise InvalidArgument("items", "too_many", max=MAX_LINES)
    for goods, total in nums.items():
        if total > MAX_NUMS:
            raise InvalidArgument("items", "too_many_of_one_goods", max=MAX_NUMS, goods_id=goods)
    return tuple(Line(goods, nums[goods]) for goods in sorted(nums))


@dataclass(frozen=True, slots=True)
class Goods:
    """A product, as the goods service describes it now."""

    id: int
    name: str
    image: str
    price_fen: int
    on_sale: bool


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One line of an order, with the name and price at the time of the order."""

    id: int
    goods: int
    goods_name: str
    goods_image: str
    price_fen: int
    nums: int

    @property
    def total_fen(self) -> int:
        """Price times quantity."""
        return self.price_fen * self.nums


def order_items(
    lines: Sequence[Line], goods: Mapping[int, Goods], next_id: Callable[[], int]
) -> tuple[OrderItem, ...]:
    """Items of these lines at today's prices. Raises EmptyOrder, GoodsUnavailable."""
    if not lines:
        raise EmptyOrder
    missing = [line.goods for line in lines if line.goods not in goods or not goods[line.goods].on_sale]
    if missing:
        raise GoodsUnavailable(missing)
    return tuple(
        OrderItem(next_id(), g.id, g.name, g.image, g.price_fen, line.nums)
        for line in lines
        for g in (goods[line.goods],)
    )


def title(items: Sequence[OrderItem], order_sn: str) -> str:
    """The title of an order: the first item's name and the number of pieces, in Chinese.

    One line of visible characters. Without a visible name, it is the order number.
    """
    name = one_line(items[0].goods_name) if items else ""
    if not is_visible(name):
        return f"订单 {order_sn}"
    if len(name) > MAX_TITLE_NAME:
        name = name[: MAX_TITLE_NAME - 1].rstrip() + "…"
    pieces = sum(item.nums for item in items)
    if len(items) > 1:
        return f"{name} 等 {pieces} 件"
    return f"{name} × {pieces}" if pieces > 1 else name


@dataclass(frozen=True, slots=True)
class Amounts:
    """The totals of one order, in fen."""

    total_fen: int
    discount_fen: int
    freight_fen: int

    @property
    def pay_fen(self) -> int:
        """The amount to pay; at least 1 fen, since providers refuse less."""
        return max(self.total_fen - self.discount_fen + self.freight_fen, 1)


@dataclass(frozen=True, slots=True)
class Pricing:
    """The pricing rules, in fen. Immutable, so that a reload never changes the rules of one order halfway.

    `freight_fen` is waived for goods of at least `free_freight_from_fen` (0: never). `zones_fen` is a
    surcharge by province, even if freight is waived; its keys are prefixes: 新疆 for 新疆维吾尔自治区.
    """

    freight_fen: int = 0
    free_freight_from_fen: int = 0
    zones_fen: Mapping[str, int] = field(default_factory=dict)

    def amounts(self, total_fen: int, province: str) -> Amounts:
        """The totals of goods of `total_fen` sent to `province`. Raises InvalidArgument: too large."""
        amounts = Amounts(total_fen, 0, self.freight_of(total_fen) + self.zone_fen(province))
        if max(total_fen, amounts.pay_fen) > MAX_ORDER_FEN:
            raise InvalidArgument("items", "total_too_large")
        return amounts

    def freight_of(self, total_fen: int) -> int:
        """The freight of goods of `total_fen`, without surcharges."""
        free = 0 < self.free_freight_from_fen <= total_fen
        return 0 if free else self.freight_fen

    def zone_fen(self, province: str) -> int:
        """The surcharge of a province; the highest for a missing or unknown one, so that omitting it does not
        save money."""
        if not self.zones_fen:
            return 0
        named = province.strip()
        found = (fen for name, fen in self.zones_fen.items() if named.startswith(name))
        return next(found, max(self.zones_fen.values()))


NO_FREIGHT = Pricing()
