"""What an SQL engine offers: its dialect, sessions, and executors that run jobs in batches."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar, cast

from shop_order.domain.errors import DependencyDown, Overloaded
from shop_order.pkg.batching import Batcher

GUARDS = frozenset(
    f"{table}_no_{what}"
    for table in ("order_event", "history_root")
    for what in ("update", "delete", "second")
)
# The primary key refuses a second INSERT; the triggers refuse a REPLACE or an UPDATE of a row.
MYSQL_GUARDS = frozenset(name for name in GUARDS if not name.endswith("_second"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """What SQL engines write differently; every other statement is the same for all of them."""

    name: str
    single_writer: bool  # write transactions are serialised: no row needs a lock
    max_rows: int  # of one INSERT
    insert_ignore: str  # skips existing rows
    skip_existing: str  # ends an INSERT: an existing row is neither changed nor counted
    for_update: str
    force_primary_key: str  # follows a table's name
    status_needs_range: bool  # a condition on status alone must be written as a range
    names: tuple[str, ...]  # queries for the names of tables and triggers
    guards: frozenset[str]  # the triggers that must exist

    def past_cursor(
        self, column: str, sign: str, value: object, id: int | str, *, key: str = "id"
    ) -> tuple[str, list[object]]:
        """Return the condition `(column, key) sign (value, id)` with its values; `sign` is < or >."""
        if self.single_writer:
            return f"({column}, {key}) {sign} (?, ?)", [value, id]
        # Written out: MySQL's optimizer reads no range from a comparison of pairs.
        return f"{column} {sign}= ? AND ({column} {sign} ? OR {key} {sign} ?)", [value, value, id]

    def in_list(self, column: str, ids: Collection[int | str]) -> tuple[str, Sequence[object]]:
        """Return the condition `column IN ids` with its values; on SQLite its text is always the same."""
        if self.single_writer:
            return f"{column} IN (SELECT value FROM json_each(?))", [json.dumps(sorted(ids))]
        return f"{column} IN ({', '.join('?' * len(ids))})", sorted(ids)


SQLITE = Dialect(
    name="sqlite",
    single_writer=True,
    max_rows=32,
    insert_ignore="INSERT OR IGNORE",
    skip_existing=" ON CONFLICT DO NOTHING",
    for_update="",
    force_primary_key="",
    status_needs_range=False,
    names=("SELECT name FROM sqlite_master",),
    guards=GUARDS,
)
MYSQL = Dialect(
    name="mysql",
    single_writer=False,
    max_rows=512,
    insert_ignore="INSERT IGNORE",
    skip_existing=" ON DUPLICATE KEY UPDATE created_ms = created_ms",  # locks it; IGNORE hides errors
    for_update=" FOR UPDATE",  # MariaDB has no FOR SHARE
    force_primary_key=" FORCE INDEX (PRIMARY)",
    status_needs_range=True,
    names=(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()",
    ),
    guards=MYSQL_GUARDS,
)
TIDB = replace(MYSQL, guards=frozenset())  # no triggers: the hash chain protects the history (decision tidb)

T = TypeVar("T")
Row = Sequence[Any]
MAX_ONE_BY_ONE = 8  # a failed batch up to this size is run one by one: halving it would cost as much
RUN_ALONE: Any = object()  # the result of an item that must run by itself, after the batch


class Session(Protocol):
    """A connection with one transaction at a time; statements take values for `?`.

    Statements raise TransactionAborted, DependencyDown, or the driver's own error.
    """

    dialect: Dialect
    writes: bool

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Return every row."""

    async def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row."""
        found = await self.all(sql, values)
        return found[0] if found else None

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the number of changed rows; a server does not count an update that changes nothing."""

    def set_commit_check(self, sql: str, values: Row) -> None:
        """Set the query that tells after a lost connection whether this transaction was committed.

        It was if `sql` finds a row.
        """

    async def set_savepoint(self, name: str) -> None:
        """Set a savepoint. On a read-only connection, this and the next three do nothing."""
        if self.writes:
            await self.run(f"SAVEPOINT {name}")

    async def rollback_to(self, name: str) -> None:
        """Roll back to the savepoint."""
        if self.writes:
            await self.run(f"ROLLBACK TO SAVEPOINT {name}")

    async def release_savepoint(self, name: str) -> None:
        """Release the savepoint."""
        if self.writes:
            await self.run(f"RELEASE SAVEPOINT {name}")

    async def restart(self) -> None:
        """Roll the whole transaction back and begin a new one."""


Job = Callable[[Session], Awaitable[Any]]
BatchFunction = Callable[[Session, Sequence[Any]], Awaitable[Sequence[Any] | None]]


class TransactionAborted(Exception):
    """The whole transaction was rolled back; it may be retried."""


class StoreInUse(Exception):
    """Another process serves this database."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Bounds of the store, and callbacks: the types of stored events, and the size of each commit."""

    batch: int = 64
    queue: int = 2048
    on_stored: Callable[[Sequence[str]], None] = lambda types: None
    on_batch: Callable[[int], None] = lambda size: None


@dataclass(frozen=True, slots=True)
class BulkJob(Generic[T]):
    """A job that can run together with others of its kind, in fewer statements.

    `run_many` returns a result, an exception or RUN_ALONE for each item. If it returns None, its changes are
    rolled back and the batch is halved to find the item at fault.
    """

    item: T
    run_one: Callable[[Session, T], Awaitable[Any]]
    run_many: Callable[[Session, Sequence[T]], Awaitable[Sequence[Any] | None]]

    async def __call__(self, session: Session) -> Any:
        return await self.run_one(session, self.item)


class Executor(ABC):
    """Runs jobs on one connection in batches, each batch in one transaction."""

    def __init__(self, where: str, options: StoreOptions, *, writes: bool, max_batch: int) -> None:
        self._where = where
        self.write_error = ""  # why the engine refuses writes; cleared by the store's `check_writes`
        self.batches: Batcher[Job, Any] = Batcher(
            self._run,
            max_batch=max_batch,
            queue=options.queue,
            full=Overloaded,
            observe=options.on_batch if writes else None,
        )

    async def submit(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Run the job; an exception rolls back this job only.

        It may run more than once, so it must have no effects outside the session.
        """
        try:
            return cast(T, await self.batches.submit(job))
        except DependencyDown as down:
            down.where = down.where or self._where
            raise

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Run one statement; return every row."""
        return await self.submit(lambda session: session.all(sql, values))

    async def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Run one statement; return the first row."""
        return await self.submit(lambda session: session.first(sql, values))

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; return the number of changed rows."""
        return await self.submit(lambda session: session.run(sql, values))

    async def close(self) -> None:
        """Finish the queue, then disconnect."""
        await self.batches.join()
        await self._disconnect()

    @abstractmethod
    async def _run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """Return one result or exception for each job."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the connection."""


class Database:
    """A writer, a reader for look-ups, and a scanner for lists, so that a list delays no look-up."""

    is_shared = False  # by several processes

    def __init__(self, writer: Executor, reader: Executor, scanner: Executor, options: StoreOptions) -> None:
        self.writer = writer
        self.reader = reader
        self.scanner = scanner
        self.options = options

    def lock(self) -> None:
        """Lock out other processes if the engine allows only one. Raises StoreInUse."""

    async def close(self) -> None:
        """Finish every queue, and disconnect."""
        for executor in (self.scanner, self.reader, self.writer):
            await executor.close()


class StorePart:
    """Access to some of the tables."""

    def __init__(self, db: Database) -> None:
        self._db = db


async def run_jobs(session: Session, jobs: Sequence[Job]) -> list[Any]:
    """Return the result of each job; bulk jobs of a kind run together unless they conflict."""
    done: dict[int, Any] = {}
    for run_many in dict.fromkeys(job.run_many for job in jobs if isinstance(job, BulkJob)):
        at = [n for n, job in enumerate(jobs) if isinstance(job, BulkJob) and job.run_many is run_many]
        items = [cast(BulkJob[Any], jobs[n]).item for n in at]
        results = await run_batch(session, run_many, items, first=not done)
        done.update((n, result) for n, result in zip(at, results, strict=True) if result is not RUN_ALONE)
    return [done[n] if n in done else await run_one(session, job) for n, job in enumerate(jobs)]


async def run_batch(
    session: Session, run_many: BatchFunction, items: Sequence[Any], *, first: bool
) -> Sequence[Any]:
    """Return each item's result; nothing was changed for an item with RUN_ALONE.

    A batch that fails is halved until the item at fault is among a few, which then run one by one.
    """
    results = await _try_batch(session, run_many, items, first=first)
    if results is not None:
        return results
    if len(items) <= MAX_ONE_BY_ONE:
        return [RUN_ALONE] * len(items)
    half = len(items) // 2
    return [
        *await run_batch(session, run_many, items[:half], first=first),
        *await run_batch(session, run_many, items[half:], first=False),
    ]


async def _try_batch(
    session: Session, run_many: BatchFunction, items: Sequence[Any], *, first: bool
) -> Sequence[Any] | None:
    """Return the results, or None with nothing changed. `first`: the transaction is still empty."""
    if not first:
        await session.set_savepoint("many")
    try:
        results = await run_many(session, items)
    except TransactionAborted:
        raise
    except Exception:  # noqa: BLE001 - each item runs alone in the end and raises its own error
        results = None
    if results is None:
        await (session.restart() if first else session.rollback_to("many"))
    if not first:
        await session.release_savepoint("many")
    return results


async def run_one(session: Session, job: Job) -> Any:
    """Return the job's result, or its exception after rolling back this job only."""
    await session.set_savepoint("one")
    try:
        result = await job(session)
    except TransactionAborted:
        raise
    except Exception as failed:  # noqa: BLE001 - it is raised to the job's own caller
        await session.rollback_to("one")
        result = failed
    await session.release_savepoint("one")
    return result


def marks(n: int) -> str:
    """Return `n` placeholders."""
    return ", ".join("?" * n)


def literals(states: Iterable[str]) -> str:
    """Return the states as SQL texts, for a condition with IN."""
    return ", ".join(f"'{state}'" for state in sorted(states))


@lru_cache(maxsize=512)
def insertion(into: str, columns: int, size: int, suffix: str = "") -> str:
    """Return the statement that inserts `size` rows."""
    return f"{into} {', '.join([f'({marks(columns)})'] * size)}{suffix}"


async def insert(session: Session, into: str, rows: Sequence[Row], suffix: str = "") -> int:
    """Insert rows in as few statements as the engine allows; return how many were inserted."""
    count, max_rows = 0, session.dialect.max_rows
    for at in range(0, len(rows), max_rows):
        part = rows[at : at + max_rows]
        sql = insertion(into, len(part[0]), len(part), suffix)
        count += await session.run(sql, [*chain.from_iterable(part)])
    return count
