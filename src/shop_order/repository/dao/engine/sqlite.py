"""One SQLite file: a thread each for the writer and two readers; only these threads wait for the disk."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from shop_order.domain.errors import DependencyDown
from shop_order.domain.problems import Dependency
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.repository.dao.engine.base import (
    Database,
    Interrupted,
    Job,
    Row,
    StoreOptions,
    StoreTaken,
    Worker,
    all_of,
)
from shop_order.repository.dao.engine.dialect import SQLITE

T = TypeVar("T")
failed = RateLimitedLog(get_logger("store").error)
# Full, read-only, I/O, can't open, no rights, damaged, no database, locked by another, locks don't work.
_OF_WRITES = frozenset({13, 8, 10, 14, 3, 11, 26, 5, 15})
_FULL, _BUSY = 13, 5


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


class FileSession:
    """See `engine.base.Session`. Its methods never wait: `finish` runs a job of them."""

    dialect = SQLITE

    def __init__(self, conn: sqlite3.Connection, *, writes: bool) -> None:
        self._conn = conn
        self._writes = writes

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            return self._conn.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._refuse(error)
            raise

    async def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        try:
            found: Row | None = self._conn.execute(sql, values).fetchone()
        except sqlite3.DatabaseError as error:
            self._refuse(error)
            raise
        return found

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        try:
            return self._conn.execute(sql, values).rowcount
        except sqlite3.DatabaseError as error:
            self._refuse(error)
            raise

    def _refuse(self, error: sqlite3.DatabaseError) -> None:
        if not self._conn.in_transaction:  # SQLite gave the whole transaction up, or it never began
            raise Interrupted from error
        if of_the_file(error):
            raise down(error) from error

    def prove(self, sql: str, values: Row) -> None:
        """The answer to a COMMIT is never lost here."""

    async def savepoint(self, name: str) -> None:
        if self._writes:
            await self.run(f"SAVEPOINT {name}")

    async def undo(self, name: str) -> None:
        if self._writes:
            await self.run(f"ROLLBACK TO {name}")

    async def release(self, name: str) -> None:
        if self._writes:
            await self.run(f"RELEASE {name}")

    async def restart(self) -> None:
        if self._writes:
            await self.run("ROLLBACK")
            await self.begin()

    async def begin(self) -> None:
        """A reader has one snapshot from here on: an order and its items are of the same moment."""
        await self.run("BEGIN IMMEDIATE" if self._writes else "BEGIN")

    async def transaction(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """The results of jobs that are committed together. Raises Interrupted, DependencyDown."""
        try:
            await self.begin()
            results = await all_of(self, jobs)
            await self.run("COMMIT")
        except BaseException:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
            raise
        return results

    def close(self) -> None:
        """Let the file go."""
        self._conn.close()


def finish(job: Coroutine[Any, Any, T]) -> T:
    """Run to its end what waits for nothing but a FileSession."""
    try:
        job.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    job.close()
    raise RuntimeError("a job on a file may wait for its session only")


class FileWorker(Worker):
    """A thread with one connection."""

    def __init__(self, path: Path, options: StoreOptions, *, writes: bool, max_batch: int) -> None:
        super().__init__(str(path), options, writes=writes, max_batch=max_batch)
        self._path = path
        self._writes = writes
        self._session: FileSession | None = None
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="sqlite-writer" if writes else "sqlite-reader"
        )

    async def _run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._batch, jobs)

    async def _disconnect(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _batch(self, jobs: Sequence[Job]) -> Sequence[Any]:
        try:
            if self._session is None:
                self._session = FileSession(connect(self._path, writes=self._writes), writes=self._writes)
            results = finish(self._session.transaction(jobs))
        except DependencyDown as refused:
            self._refused(refused.__cause__)
            raise
        except (Interrupted, sqlite3.DatabaseError) as gone:
            error = gone.__cause__ if isinstance(gone, Interrupted) else gone
            assert isinstance(error, sqlite3.DatabaseError)
            if not of_the_file(error):
                raise error from None
            self._refused(error)
            raise down(error) from error
        for result in results:
            if isinstance(result, DependencyDown):
                self._refused(result.__cause__)
        return results

    def _refused(self, why: BaseException | None) -> None:
        """The file took no write; a connection that may be to blame is not used again."""
        if self._writes and refuses_writes(why):
            self.trouble = name_of(why)
        if spoils_connection(why):
            with suppress(sqlite3.Error):
                self._close()

    def _close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close()


class FileDatabase(Database):
    """The file; every write goes through one thread (decision sqlite-one-writer)."""

    def __init__(self, path: Path, options: StoreOptions) -> None:
        self.path = path
        super().__init__(
            FileWorker(path, options, writes=True, max_batch=options.batch),
            FileWorker(path, options, writes=False, max_batch=options.batch),
            FileWorker(path, options, writes=False, max_batch=4),
            options,
        )
        self._lock: int | None = None

    def lock(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            os.close(self._lock)
            self._lock = None
            raise StoreTaken(f"another process serves {self.path}") from taken

    async def close(self) -> None:
        await super().close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def of_the_file(error: BaseException) -> bool:
    """The file can't be used (full, unreadable, damaged): no statement of ours is to blame."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def code_of(error: BaseException | None) -> int:
    """The primary result code; 1, a plain error, where there is none."""
    return int(getattr(error, "sqlite_errorcode", 1)) & 0xFF


def name_of(error: BaseException | None) -> str:
    """As SQLite's manual has it, such as SQLITE_IOERR_WRITE."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def refuses_writes(error: BaseException | None) -> bool:
    """Whether other writes will hardly fare better."""
    return isinstance(error, sqlite3.Error) and code_of(error) in _OF_WRITES


def spoils_connection(error: BaseException | None) -> bool:
    """Whether another connection may do better: a full disk or a lock is not this one's fault."""
    return refuses_writes(error) and code_of(error) not in (_FULL, _BUSY)


def down(error: Exception, what: Dependency = "order_database", where: str = "") -> DependencyDown:
    """What the caller is told of it; the operator is told more. SQLite's own texts hold no values."""
    code = name_of(error)
    failed("database_failed", kind=f"{what} {code}", database=what, code=code, error=repr(error))
    told = DependencyDown(what, where)
    told.__cause__ = error
    return told
