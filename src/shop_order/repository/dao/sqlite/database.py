"""One SQLite file: one writer thread whose batches share a commit, and two readers."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from shop_order.domain.errors import DependencyDown, Overloaded
from shop_order.pkg.batching import Batcher
from shop_order.repository.dao.base import StoreOptions, StoreTaken
from shop_order.repository.dao.sqlite import writes
from shop_order.repository.dao.sqlite.trouble import (
    down,
    name_of,
    of_the_file,
    refuses_writes,
    spoils_connection,
)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
FEW = 8  # so many are done one by one: to look further for the one that is at fault would cost as much


@dataclass(frozen=True, slots=True)
class BulkJob(Generic[T]):
    """A job that many of its kind can do by fewer statements: `many` stores the items of a batch, or
    answers False (then what it did is undone), and `one` stores a single one, or raises what hinders it."""

    item: T
    one: Callable[[sqlite3.Connection, T], None]
    many: Callable[[sqlite3.Connection, Sequence[T]], bool]

    def __call__(self, conn: sqlite3.Connection) -> None:
        self.one(conn, self.item)


def connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    """A connection with our pragmas: durable commits, and triggers that REPLACE can't pass."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        conn.execute("PRAGMA busy_timeout=5000")
        conn.execute("PRAGMA temp_store=MEMORY")  # a system without a temporary folder must not matter
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=FULL")
        conn.execute("PRAGMA recursive_triggers=ON")
        conn.execute("PRAGMA foreign_keys=ON")
        if writes:
            # New orders touch a page in each of twenty B-trees: kept in memory, carried over less often.
            conn.execute("PRAGMA cache_size=-16000")
            conn.execute("PRAGMA wal_autocheckpoint=4000")
        else:
            conn.execute("PRAGMA query_only=ON")
    except BaseException:
        conn.close()
        raise
    return conn


class Worker:
    """A thread with one connection that runs jobs in batches, each batch in one transaction."""

    def __init__(self, path: Path, options: StoreOptions, *, writes: bool, most: int) -> None:
        self._path = path
        self._writes = writes
        self.trouble = ""  # why it takes no writes, since `Database.check_writes` was content
        self._conn: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="sqlite-writer" if writes else "sqlite-reader"
        )
        self.batches: Batcher[Job, Any] = Batcher(
            self._run,
            most=most,
            queue=options.queue,
            full=Overloaded,
            observe=options.on_batch if writes else None,
        )

    async def submit(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run the job; what it raises undoes this job only."""
        try:
            return cast(T, await self.batches.submit(job))
        except DependencyDown as refused:
            refused.where = refused.where or str(self._path)
            raise

    async def close(self) -> None:
        """Finish the queue, then close the connection."""
        await self.batches.join()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        work = self._write if self._writes else self._read
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, jobs)

    def _connection(self) -> sqlite3.Connection:
        if self._conn is None:
            self._conn = connect(self._path, writes=self._writes)
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            conn, self._conn = self._conn, None
            conn.close()

    def _write(self, jobs: Sequence[Job]) -> Sequence[Any]:
        try:
            conn = self._connection()
            conn.execute("BEGIN IMMEDIATE")
            try:
                results = all_of(conn, jobs)
                conn.execute("COMMIT")
            except BaseException:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise
        except DependencyDown as refused:
            self._refused(refused.__cause__)
            raise
        except sqlite3.DatabaseError as failed:
            if not of_the_file(failed):
                raise
            self._refused(failed)
            raise down(failed) from failed
        for result in results:
            if isinstance(result, DependencyDown) and refuses_writes(result.__cause__):
                self._refused(result.__cause__)
        return results

    def _refused(self, why: BaseException | None) -> None:
        """The file took no write; a connection that may be to blame is not used again."""
        if refuses_writes(why):
            self.trouble = name_of(why)
        self._leave(why)

    def _leave(self, why: BaseException | None) -> None:
        if spoils_connection(why):
            with suppress(sqlite3.Error):
                self._disconnect()

    def _read(self, jobs: Sequence[Job]) -> Sequence[Any]:
        try:
            conn = self._connection()
            conn.execute("BEGIN")  # one snapshot: an order and its items are of the same moment
            try:
                results = [attempt(conn, job) for job in jobs]
            finally:
                conn.execute("COMMIT")
        except sqlite3.DatabaseError as failed:
            if not of_the_file(failed):
                raise
            self._leave(failed)
            raise down(failed) from failed
        for result in results:
            if isinstance(result, DependencyDown):
                self._leave(result.__cause__)
        return results


def all_of(conn: sqlite3.Connection, jobs: Sequence[Job]) -> list[Any]:
    """The result of each job; those that can be done together are, unless that meets a conflict."""
    done = set(in_bulk(conn, jobs, [n for n, job in enumerate(jobs) if isinstance(job, BulkJob)]))
    return [None if n in done else one(conn, job) for n, job in enumerate(jobs)]


def in_bulk(conn: sqlite3.Connection, jobs: Sequence[Job], at: Sequence[int]) -> Sequence[int]:
    """Which of these could be done together; of the others nothing was changed.

    One that hinders the others is looked for by halves: it costs a few of them their place, not all.
    """
    if not at or together(conn, [cast(BulkJob[Any], jobs[n]) for n in at]):
        return at
    if len(at) <= FEW:
        return ()
    half = len(at) // 2
    return [*in_bulk(conn, jobs, at[:half]), *in_bulk(conn, jobs, at[half:])]


def together(conn: sqlite3.Connection, jobs: Sequence[BulkJob[Any]]) -> bool:
    """Whether they could be done together; otherwise nothing was changed."""
    many = jobs[0].many
    if any(job.many is not many for job in jobs):
        return False
    conn.execute("SAVEPOINT bulk")
    try:
        done = many(conn, [job.item for job in jobs])
    except Exception:
        done = False
        if not conn.in_transaction:
            raise
    if not done:
        conn.execute("ROLLBACK TO bulk")
    conn.execute("RELEASE bulk")
    return done


def one(conn: sqlite3.Connection, job: Job) -> Any:
    """Run a job so that its failure undoes nothing of its neighbours."""
    conn.execute("SAVEPOINT one")
    result = attempt(conn, job)
    if isinstance(result, Exception):
        if not conn.in_transaction:
            raise result  # SQLite gave the whole transaction up (disk full, I/O error)
        conn.execute("ROLLBACK TO one")
    conn.execute("RELEASE one")
    return result


def attempt(conn: sqlite3.Connection, job: Job) -> Any:
    """The job's result, or what it raised as a value."""
    try:
        return job(conn)
    except Exception as refused:  # noqa: BLE001 - it is handed to the job's own caller
        return down(refused) if of_the_file(refused) else refused


class Database:
    """The file with its writer, a reader for look-ups and one for scans, so that a list delays no look-up."""

    def __init__(self, path: Path, options: StoreOptions) -> None:
        self.path = path
        self.queue = options.queue
        self.writer = Worker(path, options, writes=True, most=options.batch)
        self.reader = Worker(path, options, writes=False, most=options.batch)
        self.scanner = Worker(path, options, writes=False, most=4)
        self._lock: int | None = None

    def lock(self) -> None:
        """Make this process the only one that serves the file. Raises StoreTaken."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            os.close(self._lock)
            self._lock = None
            raise StoreTaken(f"another process serves {self.path}") from taken

    async def check_writes(self) -> None:
        """Write something, and more of it after a write was refused. Raises DependencyDown."""
        if self.writer.trouble:
            await self.writer.submit(writes.small)  # the row is there
            await self.writer.submit(writes.large)
        await self.writer.submit(writes.small)
        self.writer.trouble = ""

    async def close(self) -> None:
        """Finish every queue, and let the file go."""
        for worker in (self.scanner, self.reader, self.writer):
            await worker.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
