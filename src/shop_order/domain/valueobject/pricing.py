"""What an order costs beside its goods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.item import MAX_ORDER_FEN


@dataclass(frozen=True, slots=True)
class Amounts:
    """The sums of one order, in fen: `pay_fen` is what goods and freight cost without the discount."""

    total_fen: int
    discount_fen: int
    freight_fen: int

    @property
    def pay_fen(self) -> int:
        """What is to be paid: never below 1 fen, which providers refuse."""
        return max(self.total_fen - self.discount_fen + self.freight_fen, 1)


@dataclass(frozen=True, slots=True)
class Pricing:
    """The rules of one moment, in fen; an order is placed by one object of them, swapped or not meanwhile.

    `freight_fen` is waived for goods of `free_freight_from_fen` and more (0: never). `zones_fen` adds to it
    by province, also where it is waived; each is named by how it begins, 新疆 for 新疆维吾尔自治区.
    """

    freight_fen: int = 0
    free_freight_from_fen: int = 0
    zones_fen: Mapping[str, int] = field(default_factory=dict)

    def amounts(self, total_fen: int, province: str) -> Amounts:
        """The sums of goods of `total_fen` sent to `province`. Raises InvalidArgument: beyond bounds."""
        amounts = Amounts(total_fen, 0, self.freight_of(total_fen) + self.zone_fen(province))
        if max(total_fen, amounts.pay_fen) > MAX_ORDER_FEN:
            raise InvalidArgument("items", "total_too_large")
        return amounts

    def freight_of(self, total_fen: int) -> int:
        """The freight of goods of `total_fen`, to where nothing is added."""
        free = 0 < self.free_freight_from_fen <= total_fen
        return 0 if free else self.freight_fen

    def zone_fen(self, province: str) -> int:
        """What is added for a province; one that is missing or in no zone pays the dearest: else leaving it
        out would pay."""
        if not self.zones_fen:
            return 0
        named = province.strip()
        found = (fen for name, fen in self.zones_fen.items() if named.startswith(name))
        return next(found, max(self.zones_fen.values()))


NO_FREIGHT = Pricing()
