"""The other services of the shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.event.order_events import Event
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.domain.valueobject.parties import PostalAddress


class GoodsCatalogue(Protocol):
    """The goods service."""

    async def get_many(self, goods_ids: Sequence[int]) -> Mapping[int, Goods]:
        """Current goods by id, without unknown ones. Raises DependencyDown, DeadlineExceeded, Overloaded."""


class Stock(Protocol):
    """The inventory service's leases."""

    async def reserve(self, order_sn: str, lines: Sequence[Line]) -> None:
        """Reserve stock for the order, all lines or none. Idempotent.

        Raises OutOfStock, NumberTaken (the number was used with other lines), PlacingGivenUp, DependencyDown
        (the outcome is unknown: a lease, if any, expires), DeadlineExceeded, Overloaded.
        """

    async def release(self, order_sn: str) -> None:
        """Release the order's stock, even if its reservation is still in flight. Raises DependencyDown."""

    async def available(self, goods_ids: Sequence[int]) -> Mapping[int, int]:
        """How many pieces of each are available. Raises DependencyDown."""


@dataclass(frozen=True, slots=True)
class StockLease:
    """The stock the inventory holds for an order: reserved, confirmed or released. `lines` are (goods, nums);
    `returned` are those returned after the sale."""

    order_sn: str
    state: str
    lines: tuple[tuple[int, int], ...]
    returned: tuple[tuple[int, int], ...] = ()


class StockLeases(Protocol):
    """The inventory's leases and counters, for `doctor`."""

    async def leases(self, after: str, limit: int) -> Sequence[StockLease]:
        """Leases after this order number, sorted by it. Raises DependencyDown, DeadlineExceeded."""

    async def counters(self, goods_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """Pieces of each counted as reserved, and as sold. Raises what `leases` raises."""


class AddressBook(Protocol):
    """The user service's address books."""

    async def get(self, user: int, address_id: int) -> PostalAddress:
        """One address of the user.

        Raises AddressNotFound, DependencyDown, InvalidArgument (`address_id.name`: the entry itself is bad).
        """


class Wallet(Protocol):
    """The balances of the user service; money moves there by messages only."""

    async def balance(self, user: int) -> int | None:
        """The user's balance in fen; None if the user service gives no answer in time."""


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """An entry of the wallet's ledger, a debit being negative; `refund_sn` only of a refund."""

    id: int
    user: int
    payment_sn: str
    amount_fen: int
    kind: str
    refund_sn: str = ""


class WalletLedger(Protocol):
    """All entries of the wallet's ledger, for `doctor`."""

    async def entries(self, after: int, limit: int) -> Sequence[WalletEntry]:
        """Entries after this id, sorted by it. Raises DependencyDown, DeadlineExceeded, Overloaded."""


class EventPublisher(Protocol):
    """The consumers of events, or the broker in front of them."""

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        """Publish events in this order; return the ids that were acknowledged. Raises DependencyDown."""
