"""Storing orders and carts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import OrderStatus

T = TypeVar("T")
OnUnreadable = Callable[[UnreadableRow], None]  # is told of a row that was left out


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: `scope` is user and use case, `command_hash` what was asked."""

    scope: str
    key: str
    command_hash: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What a key led to."""

    command_hash: bytes
    order_sn: str
    payment_sn: str


class KeyTaken(Exception):
    """Another process (or an earlier call) stored an effect under the same key."""

    def __init__(self, record: KeyRecord) -> None:
        super().__init__(record.order_sn)
        self.record = record


class TradeNoTaken(Exception):
    """The provider's number of this money belongs to another payment."""

    def __init__(self, payment_sn: str) -> None:
        super().__init__(payment_sn)
        self.payment_sn = payment_sn


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an order stands; `expire_ms` is the end of its time to be paid."""

    status: OrderStatus
    expire_ms: int


class NumberTaken(Exception):
    """The order number belongs to another order: draw a new one, and leave that order's lease alone."""


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders a list shows: None is no limit; start <= created < end; newest first."""

    user: int | None = None
    status: OrderStatus | None = None
    order_sn: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: after this order."""

    created_ms: int
    id: int


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of orders; `total` stops counting at `COUNT_CAP`. `unreadable` are left out of `orders`.

    `items_total` has the number of items by the order's id, where only the first ones were asked for.
    """

    orders: Sequence[Order]
    total: int
    next: Cursor | None
    unreadable: Sequence[UnreadableRow] = ()
    items_total: Mapping[int, int] = field(default_factory=dict)

    @property
    def total_is_capped(self) -> bool:
        """There are at least this many."""
        return self.total >= COUNT_CAP


COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Due:
    """An order whose time was over at `due_ms`."""

    order_sn: str
    due_ms: int
    id: int


def always() -> bool:
    """There is no hurry."""
    return True


class Orders(Protocol):
    """The orders with their items, payments, refunds, history, outbox and keys."""

    async def add(
        self,
        order: Order,
        *,
        cart_version: int | None,
        key: Key | None,
        unpaid_limit: int,
        in_time: Callable[[], bool] = always,
    ) -> None:
        """Store a new order, its events, its key, and take its lines out of the cart, in one commit.

        `cart_version` None: not from the cart. `unpaid_limit` 0: none. Storing it again is no error.
        `in_time`, asked right before the commit, maybe in another thread: False gives the order up.
        Raises KeyTaken, NumberTaken, CartChanged, PlacingGivenUp, TooManyUnpaid, Overloaded.
        """

    async def change(
        self, order_sn: str, decide: Callable[[Order], T], *, key: Key | None = None, seller: str = ""
    ) -> tuple[Order, T]:
        """Load, decide, and store on the version that was read; a lost race is decided again, at most thrice.

        `decide` is pure: what it raises is raised here and nothing is stored. Money it finds takes the
        provider's number, which no other payment of the channel and `seller` may have.
        Raises OrderNotFound, KeyTaken, TradeNoTaken, TooMuchContention, Overloaded.
        """

    async def get(self, order_sn: str) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def get_by_id(self, id: int) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def list(
        self,
        where: OrderFilter,
        *,
        offset: int,
        limit: int,
        after: Cursor | None,
        max_items: int | None = None,
    ) -> OrderPage:
        """A page with items, newest first; of each order the first `max_items`, None for all."""

    async def history(self, order_sn: str) -> Sequence[Event]:
        """Its events in order of version."""

    async def count_unpaid(self, user: int) -> int:
        """How many of the user's orders wait for payment."""

    async def due(self, now_ms: int, limit: int, after: Due | None = None) -> Sequence[Due]:
        """Orders whose time is over: unpaid, or shipped without an open refund; longest overdue first."""

    async def statuses_or_tombstones(
        self, order_sns: Sequence[str], now_ms: int
    ) -> Mapping[str, Standing | UnreadableRow | None]:
        """Where each order stands, or why that can't be read, or None after planting a tombstone: that number
        can't be stored then. Raises RateLimited, with no tombstone more, beyond
        `tombstone.MAX_PER_MINUTE`."""

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        """What the key led to, if it is still kept."""

    async def purge_keys(self, now_ms: int) -> int:
        """Forget keys whose time is over; how many."""

    async def purge_tombstones(self, now_ms: int) -> int:
        """Delete some of those older than `tombstone.KEEP_MS`; how many."""


class OrderLookup(Protocol):
    """Orders to look at; what is decided is decided on `Orders`."""

    async def get(self, order_sn: str) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def get_by_id(self, id: int) -> Order:
        """The whole order. Raises OrderNotFound."""


class Carts(Protocol):
    """One cart a user."""

    async def get(self, user: int) -> Cart:
        """The cart; empty with version 0 if there never was one."""

    async def change(self, user: int, change: Callable[[Cart], T]) -> T:
        """Apply `change` to the cart as it is at the commit; concurrent changes queue up, none is lost."""
