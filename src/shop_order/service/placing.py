"""What a buyer asks for when placing an order, and the rules that hold then."""

from __future__ import annotations

from dataclasses import dataclass

from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.pricing import NO_FREIGHT, Pricing


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Buy these `lines`, or with None the checked lines of the cart.

    They go to `address`, or to that entry of the buyer's address book. The cashier links to `return_url` once
    it is paid, to `cancel_url` otherwise.
    """

    address: Address | int
    lines: tuple[Line, ...] | None = None
    note: str = ""
    pay_type: PaymentType = PaymentType.NOT_CHOSEN
    coupon_id: str = ""
    quote_token: str = ""
    expected_fen: int | None = None
    key: str = ""
    return_url: str = ""
    cancel_url: str = ""

    def normal(self) -> list[object]:
        """The command as JSON, without the key: what two equal requests have in common."""
        a = self.address
        lines = None if self.lines is None else [[line.goods, line.nums] for line in self.lines]
        # An entry of the address book is its number: what it says may change, the request is still the same.
        place = (
            a if isinstance(a, int) else [a.name, a.phone, a.detail, a.province, a.city, a.district, a.post]
        )
        # Where they are not used, a command hashes as it did before there were any: its key still fits.
        pages = [self.return_url, self.cancel_url] if self.return_url or self.cancel_url else []
        return [
            "place",
            lines,
            place,
            self.note,
            int(self.pay_type),
            self.coupon_id,
            self.quote_token,
            self.expected_fen,
            *pages,
        ]


@dataclass(frozen=True, slots=True)
class Basket:
    """What is about to be bought, and where it goes; `cart_version` None when it is not from the cart."""

    lines: tuple[Line, ...]
    cart_version: int | None
    address: Address


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Settings of the use cases; swapped whole when the configuration changes."""

    pay_timeout_ms: int = 1_800_000
    auto_confirm_ms: int = 604_800_000
    unpaid_limit: int = 20
    pricing: Pricing = NO_FREIGHT
