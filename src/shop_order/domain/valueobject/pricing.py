"""The totals of an order: goods, discount and freight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.item import MAX_ORDER_FEN


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
