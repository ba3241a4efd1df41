"""The other services of the shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.event.order_events import Event
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import Goods, Line


class GoodsCatalogue(Protocol):
    """The goods service."""

    async def get_many(self, goods_ids: Sequence[int]) -> Mapping[int, Goods]:
        """Fresh goods by id, unknown ones left out. Raises DependencyDown, DeadlineExceeded, Overloaded."""


class Stock(Protocol):
    """The inventory service's leases."""

    async def reserve(self, order_sn: str, lines: Sequence[Line]) -> None:
        """Lease stock, all or nothing; again is no error.

        Raises OutOfStock, NumberTaken (the number is known with other lines), PlacingGivenUp,
        DependencyDown (nothing is known: the lease, if any, ends by itself), DeadlineExceeded, Overloaded.
        """

    async def release(self, order_sn: str) -> None:
        """Give the lease back, also one that is still on its way. Raises DependencyDown."""

    async def available(self, goods_ids: Sequence[int]) -> Mapping[int, int]:
        """How many of each could be bought now. Raises DependencyDown."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What the inventory holds for an order: reserved, confirmed or released; lines as (goods, nums), and
    what of them came back after it was sold."""

    order_sn: str
    state: str
    lines: tuple[tuple[int, int], ...]
    returned: tuple[tuple[int, int], ...] = ()


class Leases(Protocol):
    """Walking the inventory's leases, for the doctor."""

    async def leases(self, after: str, limit: int) -> Sequence[Lease]:
        """Leases in order of number. Raises DependencyDown, DeadlineExceeded."""

    async def counters(self, goods_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """How many of each are counted as reserved, and as sold. Raises like `leases`."""


class Addresses(Protocol):
    """The user service's address book."""

    async def get(self, user: int, address_id: int) -> Address:
        """One address of the user.

        Raises AddressNotFound, DependencyDown, InvalidArgument (`address_id.name`: the entry itself is bad).
        """


class EventPublisher(Protocol):
    """The consumers of events; with a broker, the broker."""

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        """Hand events over in this order; ids that every consumer acknowledged. Raises DependencyDown."""
