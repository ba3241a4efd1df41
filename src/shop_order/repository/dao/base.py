"""What an order database offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shop_order.domain.bill import Reconciliations
from shop_order.domain.history_root import Roots
from shop_order.domain.lease import Fence
from shop_order.domain.order_log import Feed
from shop_order.domain.ports import Archive, Audit, Backlog, Carts, Orders, Outbox, Payments
from shop_order.pkg.batching import Batcher

SILENT_S = 8.0  # longer than one lock is waited for; a server may wait for room, or for another, without end


def silent(commits: Batcher[Any, Any]) -> str:
    """SILENT while a batch of writes has no answer for so long: a database that waits refuses nothing."""
    return "SILENT" if commits.running_s > SILENT_S else ""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Bounds of the store, and who is told: of the types of stored events, and of each commit's size."""

    batch: int = 64
    queue: int = 2048
    on_stored: Callable[[Sequence[str]], None] = lambda types: None
    on_batch: Callable[[int], None] = lambda size: None


class ShopTime(Protocol):
    """How far the test clock was advanced; kept over a restart."""

    async def offset_ms(self) -> int:
        """Milliseconds ahead of real time."""

    async def advance(self, by_ms: int) -> int:
        """Move forward; returns the new offset."""


class Leases(Protocol):
    """Which of the processes that share a database does what; a lease ends by itself."""

    async def hold(self, name: str) -> bool:
        """Whether this process may do this job now; a free one is taken. Raises DependencyDown."""

    def fence(self, name: str) -> Fence:
        """As what this process was given this lease the last time; a write under it is refused once another
        had it since (LeaseLost). Raises LookupError for a lease that `hold` never gave."""

    async def now_ms(self) -> int:
        """By the clock that ends the leases; epoch milliseconds. Raises DependencyDown."""

    async def worker(self) -> int:
        """The worker id of this process's snowflakes, another one if it was lost. Raises DependencyDown."""

    @property
    def worker_ends_s(self) -> float:
        """When, by this process's monotonic clock, the worker id may be another's unless asked for again."""


class Store(Protocol):
    """One order database: its parts share connections, batches and transactions."""

    @property
    def commits(self) -> Batcher[Any, Any]:
        """The batches of writes, for those who let them go first."""

    @property
    def lookups(self) -> Batcher[Any, Any]:
        """The batches of look-ups of keys."""

    @property
    def orders(self) -> Orders:
        """Orders with their history."""

    @property
    def payments(self) -> Payments:
        """Attempts and refunds."""

    @property
    def carts(self) -> Carts:
        """Carts."""

    @property
    def outbox(self) -> Outbox:
        """What is to be published."""

    @property
    def feed(self) -> Feed:
        """What was published and is still to be logged."""

    @property
    def backlog(self) -> Backlog:
        """What should have gone on by itself."""

    @property
    def audit(self) -> Audit:
        """The whole history."""

    @property
    def roots(self) -> Roots:
        """The daily roots over the history."""

    @property
    def archive(self) -> Archive:
        """The way of settled orders to the history tables."""

    @property
    def reconciliations(self) -> Reconciliations:
        """What is compared with the providers' bills."""

    @property
    def time(self) -> ShopTime:
        """The test clock."""

    @property
    def leases(self) -> Leases:
        """What one process at a time does."""

    async def open(self, *, serve: bool = True) -> None:
        """Connect; to `serve` a file, alone. Raises StoreTaken, SchemaBehind, DependencyDown."""

    async def close(self) -> None:
        """Finish what is queued, then disconnect."""

    async def ping(self) -> None:
        """Raises DependencyDown if the database can't be used."""

    async def check_writes(self) -> None:
        """Write something for its own sake, so that `trouble` is known. Raises DependencyDown."""

    @property
    def trouble(self) -> str:
        """Why the database takes no writes, by its engine's name for it; empty while it does."""

    async def last_id(self) -> int:
        """The largest id that was stored: ids go on above it even if the clock was set back."""


class StoreTaken(Exception):
    """Another process serves this database."""


class SchemaBehind(Exception):
    """The tables are not those this version needs, or a trigger that guards the history is missing."""
