"""What background jobs and checks need: providers' bills, the order log, daily roots, and fenced writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import IO, Protocol

from shop_order.domain.bill import Bill, BillCursor, DayResult, Reconciliation
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.event.order_events import Event
from shop_order.domain.history_root import Leaf, Root
from shop_order.domain.order_log import Backfill, FeedEntry, Figures, LogEntry, LogUpdate, OrderSummary
from shop_order.domain.settled_day import StoredDay
from shop_order.domain.status import PaymentType


@dataclass(frozen=True, slots=True)
class Fence:
    """A fencing token: the `number` of a job's lease grows with every change of holder.

    Take it before the first read that a decision depends on, and pass it to the write.
    """

    lease: str
    number: int


class LeaseLost(Exception):
    """Another process holds the lease now and does the job: nothing was written. Not a failure."""

    def __init__(self, fence: Fence) -> None:
        super().__init__(f"{fence.lease} now belongs to another process; number {fence.number} was ours")


# ---- bills ----


class BillNotOut(Exception):
    """The provider has no bill of that day: it is not published yet, or nothing was paid that day."""

    def __init__(self, day: date) -> None:
        super().__init__(f"the provider has no bill of {day}")
        self.day = day


class BillUnusable(Exception):
    """Not a complete bill of that day and of our account; the message says what is wrong."""


LinesRead = Callable[[int], None]  # called with the number of lines read so far, perhaps by another thread


class BillSource(Protocol):
    """A provider's daily bills. A bill of a million lines must not need more memory than a small one."""

    max_bytes: int  # of a bill's file
    out_ms: int  # a day's bill is published this long after the day's end

    def available(self) -> bool:
        """Whether the provider can be called now."""

    async def bill(self, day: date, read: LinesRead) -> Bill:
        """The bill of a day. Raises BillNotOut, BillUnusable, DependencyDown, ChannelUnavailable."""

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        """Parse a bill that was downloaded from the provider's site. Raises BillUnusable."""


class Reconciliations(Protocol):
    """What a reconciliation reads, of live and archived orders alike, and where its result is stored."""

    async def payments(self, payment_sns: Sequence[str]) -> Mapping[str, Payment]:
        """The known attempts among these."""

    async def refunds(self, out_refund_nos: Sequence[str]) -> Mapping[str, Refund]:
        """The known refunds among these, by the provider's number."""

    async def paid(
        self, channel: PaymentType, after: BillCursor, before_ms: int, limit: int
    ) -> Sequence[Payment]:
        """Paid attempts in order of time and number."""

    async def refunded(
        self, channel: PaymentType, after: BillCursor, before_ms: int, limit: int
    ) -> Sequence[Refund]:
        """Refunds that succeeded, in order of time and number."""

    async def request_query(self, payment_sn: str, at_ms: int) -> None:
        """Schedule a query of an unpaid attempt, also if its order is archived."""

    async def request_refund(self, out_refund_no: str, at_ms: int) -> None:
        """Schedule a query of a refund that was sent or failed; ignored for any other."""

    async def days(self, channel: PaymentType, since: date) -> Mapping[date, DayResult]:
        """The stored result of each day that was reconciled."""

    async def results(self, first: date, last: date) -> Sequence[StoredDay]:
        """The stored results of all channels and of the days from `first` to `last`."""

    async def keep(self, result: Reconciliation, fence: Fence) -> None:
        """Store a day's result in place of an earlier one. Raises LeaseLost."""


# ---- the order log ----


class Feed(Protocol):
    """The events on their way to the log, stored in the order database."""

    async def take(self, after: int, limit: int) -> Sequence[FeedEntry]:
        """The next entries above this event id."""

    async def events(self, since: Mapping[str, int], limit: int) -> Sequence[Event]:
        """At most `limit` events of these orders above their versions, in order of number and version."""

    async def done(self, event_ids: Collection[int]) -> None:
        """Delete entries that the log has stored for good."""

    async def lag(self) -> tuple[int, int]:
        """The number of waiting events, and the time of the oldest (epoch ms, 0 if none)."""


class OrderLog(Protocol):
    """The log, and a summary of every order. Each method raises DependencyDown if the log is unavailable."""

    durable_after_s: float  # until then a crash of the server may lose an acknowledged write

    async def summaries(self, order_sns: Collection[str]) -> Mapping[str, OrderSummary]:
        """The summaries of those orders that are known."""

    async def append(self, updates: Sequence[LogUpdate]) -> Collection[str]:
        """Store entries, once per event id, then each summary that still is at version `since`.

        Return the orders that are certainly stored; read the others back.
        """

    async def entries(self, order_sn: str, limit: int) -> Sequence[LogEntry]:
        """The entries of one order in order of version."""

    async def figures(self, first_day: str, last_day: str) -> Sequence[Figures]:
        """Orders placed from the first to the last day, grouped by day, channel and status."""

    async def backfill(self) -> Backfill:
        """The progress of the backfill; `Backfill()` for a new (or lost) log."""

    async def advance_backfill(self, since: Backfill, position: str) -> None:
        """Move the backfill to `position`; no effect if it is no longer at `since`."""

    async def purge(self, before_ms: int, limit: int) -> int:
        """Delete at most `limit` older entries, no summaries. Return how many."""

    async def reset_summaries(self, since: Backfill) -> None:
        """Delete the summaries, not the entries, and start a new backfill; no effect if it is no longer at
        `since`."""

    async def clear(self) -> None:
        """Delete everything and start a new backfill."""


# ---- daily roots ----


class RootConflict(Exception):
    """The root does not follow the last stored one, or its day already has a root: nothing was stored."""


class Roots(Protocol):
    """The stored roots, which are never changed, and the events they cover."""

    async def last(self) -> Root | None:
        """The root of the latest day."""

    async def page(self, after_day: str, limit: int) -> Sequence[Root]:
        """Roots in order of day; '' starts at the first."""

    async def leaves(self, after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        """Events in order of id."""

    async def add(self, root: Root, fence: Fence) -> None:
        """Append a root. Raises LeaseLost, RootConflict, DependencyDown."""


class RootKeys(Protocol):
    """The signing key, and all keys whose signatures are accepted."""

    def sign(self, message: bytes) -> tuple[str, bytes]:
        """The key's id and its signature."""

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. Raises LookupError for an unknown key."""


class WitnessUnavailable(Exception):
    """The witness does not respond."""


class Witness(Protocol):
    """A second store of roots, so that they can't be removed together with the rows they cover.

    Each method raises WitnessUnavailable.
    """

    async def get(self, day: str) -> bytes | None:
        """The document of this day's root."""

    async def put(self, day: str, document: bytes) -> bool:
        """Store a document, if this process still holds the witness's own lock. Return whether it did."""

    async def all(self) -> Mapping[str, bytes]:
        """Every document by day."""
