"""What an SQL engine offers: its dialect, sessions, and workers that run jobs in batches."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar, cast

from shop_order.domain.errors import DependencyDown, Overloaded
from shop_order.pkg.batching import Batcher
from shop_order.repository.schema import GUARDS, MYSQL_GUARDS


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one engine."""

    name: str
    one_writer: bool  # transactions that write run one after the other: no row needs a lock
    max_rows: int  # of one INSERT, whose text is kept for the next one of its length
    insert_new: str  # leaves out rows that are there already
    unless_there: str  # ends an INSERT: a row that is there already stays as it is, and does not count
    for_update: str
    by_primary_key: str  # after a table: use no other index
    range_of_status: bool  # a status alone must be asked for as a range
    names: tuple[str, ...]  # statements that find the names of tables and triggers
    guards: frozenset[str]  # the triggers that must exist

    def beyond(self, column: str, sign: str, value: object, id: int) -> tuple[str, list[object]]:
        """A condition with its values: (`column`, `id`) lies beyond these, in the direction of `sign`."""
        if self.one_writer:
            return f"({column}, id) {sign} (?, ?)", [value, id]
        # Written out: a comparison of pairs is no range to MySQL's optimizer.
        return f"{column} {sign}= ? AND ({column} {sign} ? OR id {sign} ?)", [value, value, id]

    def among(self, column: str, ids: Collection[int]) -> tuple[str, Sequence[object]]:
        """A condition with its values: `column` is one of these; on a file one text serves any number."""
        if self.one_writer:
            return f"{column} IN (SELECT value FROM json_each(?))", [json.dumps(sorted(ids))]
        return f"{column} IN ({', '.join('?' * len(ids))})", sorted(ids)


SQLITE = Dialect(
    name="sqlite",
    one_writer=True,
    max_rows=32,
    insert_new="INSERT OR IGNORE",
    unless_there=" ON CONFLICT DO NOTHING",
    for_update="",
    by_primary_key="",
    range_of_status=False,
    names=("SELECT name FROM sqlite_master",),
    guards=GUARDS,
)
MYSQL = Dialect(
    name="mysql",
    one_writer=False,
    max_rows=512,
    insert_new="INSERT IGNORE",
    unless_there=" ON DUPLICATE KEY UPDATE created_ms = created_ms",  # locks it; IGNORE hides faults
    for_update=" FOR UPDATE",  # MariaDB has no FOR SHARE
    by_primary_key=" FORCE INDEX (PRIMARY)",
    range_of_status=True,
    names=(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()",
    ),
    guards=MYSQL_GUARDS,
)
TIDB = replace(MYSQL, guards=frozenset())  # no triggers there: the chain of hashes guards (decision tidb)


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

    def __init__(self, where: str, options: StoreOptions, *, writes: bool, most: int) -> None:
        self._where = where
        self.trouble = ""  # why it takes no writes; cleared by the store's `check_writes`
        self.batches: Batcher[Job, Any] = Batcher(
            self._run,
            most=most,
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


def marks(n: int) -> str:
    """So many placeholders."""
    return ", ".join("?" * n)


@lru_cache(maxsize=512)
def insertion(into: str, columns: int, size: int, otherwise: str = "") -> str:
    """The statement that inserts so many rows."""
    return f"{into} {', '.join([f'({marks(columns)})'] * size)}{otherwise}"


def insertions(
    into: str, rows: Sequence[Row], otherwise: str, max_rows: int
) -> Iterator[tuple[str, Sequence[Any]]]:
    """The statements that insert these rows, with their values."""
    for at in range(0, len(rows), max_rows):
        part = rows[at : at + max_rows]
        yield insertion(into, len(part[0]), len(part), otherwise), [*chain.from_iterable(part)]


async def insert(session: Session, into: str, rows: Sequence[Row], otherwise: str = "") -> int:
    """Insert rows by as few statements as the engine allows; how many came in."""
    done = 0
    for sql, values in insertions(into, rows, otherwise, session.dialect.max_rows):
        done += await session.run(sql, values)
    return done
