"""What an SQL engine offers: sessions, and workers that run jobs on them in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from shop_order.domain.errors import DependencyDown, Overloaded
from shop_order.pkg.batching import Batcher
from shop_order.repository.dao.engine.dialect import Dialect

T = TypeVar("T")
Row = Sequence[Any]
FEW = 8  # so many are done one by one: to search further for the one at fault would cost as much
ALONE: Any = object()  # the answer for an item that must be done by itself, after the others


class Session(Protocol):
    """One connection, and one transaction at a time on it. Statements have `?` for values.

    Statements raise Interrupted, DependencyDown, or the driver's own error for a fault of the statement.
    """

    dialect: Dialect

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Every row."""

    async def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row."""

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows were changed. On a server, a row that already was as asked does not count."""

    def prove(self, sql: str, values: Row) -> None:
        """How to find out later whether this transaction was committed: it was if `sql` finds a row."""

    async def savepoint(self, name: str) -> None:
        """Begin a part that can be undone; nothing on a connection that only reads."""

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint."""

    async def release(self, name: str) -> None:
        """Forget the savepoint."""

    async def restart(self) -> None:
        """Undo the whole transaction, and begin again."""


Job = Callable[[Session], Awaitable[Any]]
Many = Callable[[Session, Sequence[Any]], Awaitable[Sequence[Any] | None]]


class Interrupted(Exception):
    """The whole transaction is gone; what it did is undone and may be done again."""


class StoreTaken(Exception):
    """Another process serves this database."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Bounds of the store, and who is told: of the types of stored events, and of each commit's size."""

    batch: int = 64
    queue: int = 2048
    on_stored: Callable[[Sequence[str]], None] = lambda types: None
    on_batch: Callable[[int], None] = lambda size: None


@dataclass(frozen=True, slots=True)
class BulkJob(Generic[T]):
    """A job that many of its kind can do by fewer statements.

    `many` does the items of a batch and answers with each one's result or refusal, or ALONE; or with None:
    then what it did is undone, and the item at fault is searched for.
    """

    item: T
    one: Callable[[Session, T], Awaitable[Any]]
    many: Callable[[Session, Sequence[T]], Awaitable[Sequence[Any] | None]]

    async def __call__(self, session: Session) -> Any:
        return await self.one(session, self.item)


class Worker(ABC):
    """One connection that runs jobs in batches, each batch in one transaction."""

    def __init__(self, where: str, options: StoreOptions, *, writes: bool, max_batch: int) -> None:
        self._where = where
        self.trouble = ""  # why it takes no writes; cleared by the store's `check_writes`
        self.batches: Batcher[Job, Any] = Batcher(
            self._run,
            max_batch=max_batch,
            queue=options.queue,
            full=Overloaded,
            observe=options.on_batch if writes else None,
        )

    async def submit(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Run the job; what it raises undoes this job only. It may run again: it decides, then stores."""
        try:
            return cast(T, await self.batches.submit(job))
        except DependencyDown as refused:
            refused.where = refused.where or self._where
            raise

    async def close(self) -> None:
        """Finish the queue, then disconnect."""
        await self.batches.join()
        await self._disconnect()

    @abstractmethod
    async def _run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """One result or refusal a job."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the connection."""


class Database:
    """The writer, a reader for look-ups, and one for scans, so that a list delays no look-up."""

    is_shared = False  # by several processes

    def __init__(self, writer: Worker, reader: Worker, scanner: Worker, options: StoreOptions) -> None:
        self.writer = writer
        self.reader = reader
        self.scanner = scanner
        self.options = options

    def lock(self) -> None:
        """Make this process the only one that serves it, if the engine allows one only. Raises StoreTaken."""

    async def close(self) -> None:
        """Finish every queue, and disconnect."""
        for worker in (self.scanner, self.reader, self.writer):
            await worker.close()


async def all_of(session: Session, jobs: Sequence[Job]) -> list[Any]:
    """The result of each job; those that can be done together are, unless that meets a conflict."""
    done: dict[int, Any] = {}
    for many in dict.fromkeys(job.many for job in jobs if isinstance(job, BulkJob)):
        at = [n for n, job in enumerate(jobs) if isinstance(job, BulkJob) and job.many is many]
        items = [cast(BulkJob[Any], jobs[n]).item for n in at]
        results = await in_bulk(session, many, items, first=not done)
        done.update((n, result) for n, result in zip(at, results, strict=True) if result is not ALONE)
    return [done[n] if n in done else await one(session, job) for n, job in enumerate(jobs)]


async def in_bulk(session: Session, many: Many, items: Sequence[Any], *, first: bool) -> Sequence[Any]:
    """Each one's result; nothing was changed for one that is left ALONE.

    The one that hinders the others is searched for by halves: it costs a few of them their place, not all.
    """
    results = await _tried(session, many, items, first=first)
    if results is not None:
        return results
    if len(items) <= FEW:
        return [ALONE] * len(items)
    half = len(items) // 2
    return [
        *await in_bulk(session, many, items[:half], first=first),
        *await in_bulk(session, many, items[half:], first=False),
    ]


async def _tried(session: Session, many: Many, items: Sequence[Any], *, first: bool) -> Sequence[Any] | None:
    """What `many` answers; after a None nothing was changed. `first`: nothing else is in the transaction."""
    if not first:
        await session.savepoint("many")
    try:
        results = await many(session, items)
    except Interrupted:
        raise
    except Exception:  # noqa: BLE001 - each is tried alone in the end, and its caller is told
        results = None
    if results is None:
        await (session.restart() if first else session.undo("many"))
    if not first:
        await session.release("many")
    return results


async def one(session: Session, job: Job) -> Any:
    """Run a job so that its failure undoes nothing of its neighbours."""
    await session.savepoint("one")
    try:
        result = await job(session)
    except Interrupted:
        raise
    except Exception as refused:  # noqa: BLE001 - it is handed to the job's own caller
        await session.undo("one")
        result = refused
    await session.release("one")
    return result
