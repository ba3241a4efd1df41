"""What the use cases need from outside, as protocols; the rooms below `repository` and `gateway` offer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import Unreadable
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import Goods, Line

T = TypeVar("T")
Clock = Callable[[], int]  # epoch milliseconds
OnUnreadable = Callable[[Unreadable], None]  # is told of a row that was left out


# ---- storing ----


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
    """A page of orders; `total` stops counting at `COUNT_CAP`. `unreadable` are left out of `orders`."""

    orders: Sequence[Order]
    total: int
    next: Cursor | None
    unreadable: Sequence[Unreadable] = ()

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


class Orders(Protocol):
    """The orders with their items, payments, refunds, history, outbox and keys."""

    async def add(
        self, order: Order, *, cart_version: int | None, key: Key | None, unpaid_limit: int
    ) -> None:
        """Store a new order, its events, its key, and take its lines out of the cart, in one commit.

        `cart_version` None: not from the cart. `unpaid_limit` 0: none. Storing it again is no error.
        Raises KeyTaken, NumberTaken, CartChanged, PlacingGivenUp, TooManyUnpaid, Overloaded.
        """

    async def change(
        self, order_sn: str, decide: Callable[[Order], T], *, key: Key | None = None
    ) -> tuple[Order, T]:
        """Load, decide, and store on the version that was read; a lost race is decided again, at most thrice.

        `decide` is pure: what it raises is raised here and nothing is stored.
        Raises OrderNotFound, KeyTaken, TooMuchContention, Overloaded.
        """

    async def get(self, order_sn: str) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def get_by_id(self, id: int) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def list(self, where: OrderFilter, *, offset: int, limit: int, after: Cursor | None) -> OrderPage:
        """A page with items, newest first."""

    async def history(self, order_sn: str) -> Sequence[Event]:
        """Its events in order of version."""

    async def count_unpaid(self, user: int) -> int:
        """How many of the user's orders wait for payment."""

    async def due(self, now_ms: int, limit: int, after: Due | None = None) -> Sequence[Due]:
        """Orders whose time is over: unpaid, or shipped without an open refund; longest overdue first."""

    async def statuses_or_tombstones(
        self, order_sns: Sequence[str], now_ms: int
    ) -> Mapping[str, Standing | Unreadable | None]:
        """Where each order stands, or why that can't be read, or None after planting a tombstone: that number
        can't be stored then."""

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        """What the key led to, if it is still kept."""

    async def purge_keys(self, now_ms: int) -> int:
        """Forget keys whose time is over; how many."""


class OrderLookup(Protocol):
    """Orders to look at; what is decided is decided on `Orders`."""

    async def get(self, order_sn: str) -> Order:
        """The whole order. Raises OrderNotFound."""

    async def get_by_id(self, id: int) -> Order:
        """The whole order. Raises OrderNotFound."""


class Payments(Protocol):
    """Looking attempts and refunds up, and the bookkeeping of asking the provider."""

    async def find(self, payment_sn: str) -> Payment | None:
        """The attempt with this number."""

    async def to_ask(self, now_ms: int, limit: int) -> Sequence[tuple[Payment | Unreadable, int]]:
        """Attempts whose provider should be asked now, with how often it was asked: open ones, and those that
        were closed before their links ended."""

    async def to_refund(self, now_ms: int, limit: int) -> Sequence[tuple[Refund, int]]:
        """Refunds to be sent (again) now, with how often they were."""

    async def ask_later(self, payment_sn: str, at_ms: int) -> None:
        """Count one more question, and ask again then."""

    async def ask_no_more(self, payment_sn: str) -> None:
        """The provider will not tell anything new of this closed attempt."""

    async def refund_later(self, refund_sn: str, at_ms: int) -> None:
        """Count one more try, and try again then."""


class Carts(Protocol):
    """One cart a user."""

    async def get(self, user: int) -> Cart:
        """The cart; empty with version 0 if there never was one."""

    async def change(self, user: int, change: Callable[[Cart], T]) -> T:
        """Apply `change` to the cart as it is at the commit; concurrent changes queue up, none is lost."""


class Outbox(Protocol):
    """What is still to be published."""

    async def take(self, limit: int, now_ms: int) -> Sequence[Event]:
        """At most `limit` events of the longest waiting orders, in order of version without a gap."""

    async def published(self, event_ids: Iterable[int]) -> None:
        """They were acknowledged: hand them over to the order log's feed, and forget them."""

    async def refused(self, event_ids: Iterable[int], now_ms: int) -> None:
        """They were not acknowledged: hold their orders back for a while, longer each time."""

    async def orders_waiting(self) -> set[str]:
        """Numbers of the orders that have events waiting."""

    async def lag(self) -> tuple[int, int]:
        """How many events wait, and since when the oldest (epoch ms, 0 if none)."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What should have gone on by itself: how many, and since when the oldest (epoch ms, 0 if none).

    An `order` whose time is over, a `payment` whose time is over and whose end nobody knows, a `refund` that
    was approved and is not known to have arrived.
    """

    what: str
    count: int
    since_ms: int


class Backlog(Protocol):
    """What operators watch."""

    async def behind(self, now_ms: int) -> Sequence[Behind]:
        """One of each kind, also where nothing is behind."""


class Audit(Protocol):
    """Reading the whole history, for verification and the doctor."""

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        """Numbers of all orders that have a row or an event, in order."""

    async def chain(self, order_sn: str) -> Sequence[Event]:
        """The events of one order in order of version."""

    async def order(self, order_sn: str) -> Order | None:
        """The order as its row says, None if only events are left."""


class Archive(Protocol):
    """The history tables, for orders nobody has anything left to do with. They are found there by number."""

    async def oldest(self, before_ms: int, after: Cursor | None, limit: int) -> OrderPage:
        """Orders placed before then that are not archived, oldest first; `total` is of the page alone."""

    async def move(self, versions: Mapping[str, int]) -> int:
        """Archive those of these orders that still are at these versions, in one commit; how many.

        Those stay about whose attempts a provider is still to be asked. A later change of an archived order
        brings it back.
        """


# ---- neighbours ----


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
        """One address of the user. Raises AddressNotFound, DependencyDown."""


class Inboxes(Protocol):
    """The consumers of events; with a broker, the broker."""

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        """Hand events over in this order; ids that every consumer acknowledged. Raises DependencyDown."""


# ---- payment channels ----


@dataclass(frozen=True, slots=True)
class Trade:
    """What a provider says of one attempt: `state` is waiting, paid, closed, absent or unknown."""

    state: str
    trade_no: str = ""
    amount_fen: int = 0
    paid_ms: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """A verified notice: of which attempt, and what the provider says of it."""

    payment_sn: str
    trade: Trade
    is_refund: bool
    notice_id: str


class PaymentChannel(Protocol):
    """One provider of payments; answers for "unknown" are part of every method."""

    payment_type: PaymentType

    def trade_type(self, asked: str) -> str:
        """The trade type to use, the channel's default for an empty one.

        Raises InvalidArgument (no such), ChannelUnavailable (not built, or not configured).
        """

    async def open(
        self,
        *,
        payment_sn: str,
        trade_type: str,
        amount_fen: int,
        subject: str,
        lasts_ms: int,
        return_url: str,
    ) -> str:
        """The link that lets the buyer pay for `lasts_ms`. Raises ChannelUnavailable, DependencyDown."""

    async def query(self, payment_sn: str) -> Trade:
        """What the provider knows; state unknown when it can't be asked. Never raises for a remote fault."""

    async def close(self, payment_sn: str) -> Trade:
        """Tell the provider to take no money: closed, absent (never opened), paid, or unknown."""

    async def refund(self, *, payment_sn: str, refund_sn: str, amount_fen: int, reason: str) -> str:
        """Give money back once under this number: `succeeded`, `failed` for good, or `unknown`: ask again."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Check a notice's signature, shape and addressee.

        Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us).
        """
