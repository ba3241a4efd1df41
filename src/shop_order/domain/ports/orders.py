"""Ports to the store: orders, their payments, and carts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import OrderStatus

# A tombstone makes the late commit of an order fail whose stock was released meanwhile. It may be deleted
# when no such order can be committed any more: a number is drawn before its stock is reserved, hence before
# another service knows it, and placing fails at the commit MAX_PLACING_MS after the number was drawn, by the
# clock of the placing process. The database ends the transaction of a process that freezes between that check
# and its commit. The process that adds a tombstone and the one that deletes it may have different clocks.
MAX_PLACING_MS = 3_600_000  # the longest request deadline and the longest lease that settings allow
FROZEN_COMMIT_MS = 120_000  # twice MySQL's timeout for an idle transaction
CLOCK_SKEW_MS = 3_600_000
TOMBSTONE_LIFETIME_MS = MAX_PLACING_MS + FROZEN_COMMIT_MS + CLOCK_SKEW_MS
MAX_TOMBSTONES_PER_MINUTE = 6000  # by all instances: more than a crash of some of them requires

T = TypeVar("T")
OnUnreadable = Callable[[UnreadableRow], None]  # called with a row that was skipped


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key; `scope` is the user and the use case."""

    scope: str
    key: str
    command_hash: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """The result stored under a key."""

    command_hash: bytes
    order_sn: str
    payment_sn: str


class KeyTaken(Exception):
    """Another process, or an earlier call, stored a result under this key."""

    def __init__(self, record: KeyRecord) -> None:
        super().__init__(record.order_sn)
        self.record = record


class TradeNoTaken(Exception):
    """The trade number belongs to another payment."""

    def __init__(self, payment_sn: str) -> None:
        super().__init__(payment_sn)
        self.payment_sn = payment_sn


@dataclass(frozen=True, slots=True)
class OrderStanding:
    """The status of an order, when it expires if it is unpaid, and whether it was ever paid."""

    status: OrderStatus
    expire_ms: int
    was_paid: bool = False


class NumberTaken(Exception):
    """The order number belongs to another order: draw a new one, and do not release its stock."""


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to list; None matches all; start <= created < end."""

    user: int | None = None
    status: OrderStatus | None = None
    order_sn: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position in a list: after this order."""

    created_ms: int
    id: int


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of orders; `total` is counted up to `COUNT_CAP`; `unreadable` rows are not in `orders`.

    `items_total` is the number of items by order id, if `max_items` was given.
    """

    orders: Sequence[Order]
    total: int
    next: Cursor | None
    unreadable: Sequence[UnreadableRow] = ()
    items_total: Mapping[int, int] = field(default_factory=dict)

    @property
    def total_is_capped(self) -> bool:
        """Whether there may be more."""
        return self.total >= COUNT_CAP


COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Due:
    """An order that timed out at `due_ms`."""

    order_sn: str
    due_ms: int
    id: int


class OrderLookup(Protocol):
    """Orders to show, maybe cached; decisions are made on `Orders`."""

    async def get(self, order_sn: str) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def get_by_id(self, id: int) -> Order:
        """The whole order. Raises OrderNotFound."""


class Orders(OrderLookup, Protocol):
    """Orders with their items, payments, refunds, history, outbox and idempotency keys."""

    async def add(
        self,
        order: Order,
        *,
        cart_version: int | None,
        key: Key | None,
        unpaid_limit: int,
        in_time: Callable[[], bool],
    ) -> None:
        """Store an order, its events and key, and remove its lines from the cart, in one commit. Idempotent.

        `cart_version` None: not from the cart. `unpaid_limit` 0: no limit. `in_time` is called right before
        the commit, maybe in another thread; if it returns False, the order is not stored.
        Raises KeyTaken, NumberTaken, CartChanged, PlacingGivenUp, TooManyUnpaid, Overloaded.
        """

    async def change(
        self, order_sn: str, decide: Callable[[Order], T], *, key: Key | None = None, seller: str = ""
    ) -> tuple[Order, T]:
        """Load the order, apply `decide`, and store it if its version is unchanged; try up to three times.

        `decide` is pure; if it raises, nothing is stored. The trade number of a payment must be unique for
        its channel and `seller`.
        Raises OrderNotFound, KeyTaken, TradeNoTaken, TooMuchContention, Overloaded.
        """

    async def list(
        self,
        where: OrderFilter,
        *,
        offset: int,
        limit: int,
        after: Cursor | None,
        max_items: int | None = None,
    ) -> OrderPage:
        """A page of orders, newest first; of each order the first `max_items` items, None for all."""

    async def history(self, order_sn: str) -> Sequence[Event]:
        """The events of the order, by version."""

    async def count_unpaid(self, user: int) -> int:
        """The number of the user's unpaid orders."""

    async def due(self, now_ms: int, limit: int, after: Due | None = None) -> Sequence[Due]:
        """Orders that timed out: unpaid, or shipped without an open refund; longest overdue first."""

    async def statuses_or_tombstones(
        self, order_sns: Sequence[str], now_ms: int
    ) -> Mapping[str, OrderStanding | UnreadableRow | None]:
        """The standing of each order, or why it can't be read. If there is none, store a tombstone, so that
        the number can't be stored later, and return None for it.

        Raises RateLimited, before storing any, above `MAX_TOMBSTONES_PER_MINUTE`."""

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        """The result under the key, unless it has expired."""

    async def purge_keys(self, now_ms: int) -> int:
        """Delete expired keys; return how many."""

    async def purge_tombstones(self, now_ms: int) -> int:
        """Delete some of those older than `TOMBSTONE_LIFETIME_MS`; return how many."""


class Payments(Protocol):
    """Payment attempts and refunds, and when to query the provider about them."""

    async def find(self, payment_sn: str) -> Payment | None:
        """The attempt with this number, or None."""

    async def due_queries(self, now_ms: int, limit: int) -> Sequence[tuple[Payment | UnreadableRow, int]]:
        """Attempts to query now, with the number of queries so far: open ones, and those that were closed
        before their links expired."""

    async def due_refunds(self, now_ms: int, limit: int) -> Sequence[tuple[Refund | UnreadableRow, int]]:
        """Refunds to send now, or to ask about if they failed, with the number of tries so far."""

    async def postpone_query(self, payment_sn: str, at_ms: int) -> None:
        """Count one more query, and schedule the next."""

    async def request_query(self, payment_sn: str, at_ms: int) -> None:
        """Schedule a query of an unpaid attempt, even if its order is archived."""

    async def stop_queries(self, payment: Payment, at_ms: int) -> None:
        """Stop querying an attempt that was read like this and then postponed to `at_ms`.

        Do nothing if its state has changed since, or if it was made due anew.
        """

    async def postpone_refund(self, refund_sn: str, at_ms: int) -> None:
        """Count one more try, and schedule the next."""

    async def stop_refund(self, refund_sn: str, at_ms: int) -> None:
        """Ask no more about a refund that failed and was postponed to `at_ms`, unless it was made due anew
        since."""

    async def request_refund(self, out_refund_no: str, at_ms: int) -> None:
        """Try a due refund now, or ask about one that failed, by the provider's number; ignored
        for any other."""


class Carts(Protocol):
    """The carts, one for each user."""

    async def get(self, user: int) -> Cart:
        """The user's cart; empty with version 0 if there never was one."""

    async def change(self, user: int, change: Callable[[Cart], T]) -> T:
        """Apply `change` to the stored cart; concurrent changes are applied one after another."""
