"""One SQLite file: a thread each for the writer and two readers; only these threads do disk I/O."""

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
    SQLITE,
    Database,
    Executor,
    Job,
    Row,
    Session,
    StoreInUse,
    StoreOptions,
    TransactionAborted,
    run_jobs,
)

T = TypeVar("T")
log_failure = RateLimitedLog(get_logger("store").error)
# Full, read-only, I/O, can't open, no permission, corrupt, not a database, busy, lock protocol.
_WRITE_ERRORS = frozenset({13, 8, 10, 14, 3, 11, 26, 5, 15})
_FULL, _BUSY = 13, 5


def connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    """Open a connection with durable commits, and triggers that REPLACE can't bypass."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        conn.execute("PRAGMA busy_timeout=5000")
        conn.execute("PRAGMA temp_store=MEMORY")  # works on a system without a temporary folder
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=FULL")
        conn.execute("PRAGMA recursive_triggers=ON")
        conn.execute("PRAGMA foreign_keys=ON")
        if writes:
            # New orders touch a page in each of twenty B-trees: keep them in memory, checkpoint less often.
            conn.execute("PRAGMA cache_size=-16000")
            conn.execute("PRAGMA wal_autocheckpoint=4000")
        else:
            conn.execute("PRAGMA query_only=ON")
    except BaseException:
        conn.close()
        raise
    return conn


class SqliteSession(Session):
    """Its methods never suspend: see `run_to_completion`."""

    dialect = SQLITE

    def __init__(
        self, conn: sqlite3.Connection, *, writes: bool, database: Dependency = "order_database"
    ) -> None:
        self._conn = conn
        self.writes = writes
        self._database: Dependency = database

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            return self._conn.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._translate(error)
            raise

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        try:
            return self._conn.execute(sql, values).rowcount
        except sqlite3.DatabaseError as error:
            self._translate(error)
            raise

    def _translate(self, error: sqlite3.DatabaseError) -> None:
        if not self._conn.in_transaction:  # SQLite rolled the whole transaction back, or it never began
            raise TransactionAborted from error
        if is_file_error(error):
            raise database_down(error, self._database) from error

    def set_commit_check(self, sql: str, values: Row) -> None:
        """Nothing to do: the answer to a COMMIT is never lost."""

    async def restart(self) -> None:
        if self.writes:
            await self.run("ROLLBACK")
            await self.begin()

    async def begin(self) -> None:
        """Begin a transaction; a reader has one snapshot from here on."""
        await self.run("BEGIN IMMEDIATE" if self.writes else "BEGIN")

    async def transaction(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """Run jobs and commit them together. Raises TransactionAborted, DependencyDown."""
        try:
            await self.begin()
            results = await run_jobs(self, jobs)
            await self.run("COMMIT")
        except BaseException:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
            raise
        return results

    def close(self) -> None:
        """Close the connection."""
        self._conn.close()


def run_to_completion(job: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits nothing but a SqliteSession."""
    try:
        job.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    job.close()
    raise RuntimeError("a job on a file may await only its session")


class SqliteExecutor(Executor):
    """A thread with one connection. `prepare` creates the tables of a database without migrations."""

    def __init__(
        self,
        path: Path,
        options: StoreOptions,
        *,
        writes: bool,
        max_batch: int,
        database: Dependency = "order_database",
        prepare: Sequence[str] = (),
    ) -> None:
        super().__init__(str(path), options, writes=writes, max_batch=max_batch)
        self._path = path
        self._writes = writes
        self._database: Dependency = database
        self._prepare = prepare
        self._session: SqliteSession | None = None
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
                self._session = self._connect()
            results = run_to_completion(self._session.transaction(jobs))
        except DependencyDown as refused:
            self._record_refusal(refused.__cause__)
            raise
        except (TransactionAborted, sqlite3.DatabaseError) as gone:
            error = gone.__cause__ if isinstance(gone, TransactionAborted) else gone
            assert isinstance(error, sqlite3.DatabaseError)
            if not is_file_error(error):
                raise error from None
            self._record_refusal(error)
            raise database_down(error, self._database) from error
        for result in results:
            if isinstance(result, DependencyDown):
                self._record_refusal(result.__cause__)
        return results

    def _connect(self) -> SqliteSession:
        if self._prepare:
            with suppress(OSError):  # the file can't be opened then
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        conn = connect(self._path, writes=self._writes)
        try:
            for statement in self._prepare:
                conn.execute(statement)
        except BaseException:
            conn.close()
            raise
        return SqliteSession(conn, writes=self._writes, database=self._database)

    def _record_refusal(self, why: BaseException | None) -> None:
        """Record a refused write, and drop the connection if a new one may do better."""
        if self._writes and blocks_writes(why):
            self.write_error = error_name(why)
        if needs_new_connection(why) or self._prepare:  # its tables may be missing: a new one creates them
            with suppress(sqlite3.Error):
                self._close()

    def _close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close()


class SqliteDatabase(Database):
    """The file, written by one thread (decision sqlite-one-writer)."""

    def __init__(self, path: Path, options: StoreOptions) -> None:
        self.path = path
        super().__init__(
            SqliteExecutor(path, options, writes=True, max_batch=options.batch),
            SqliteExecutor(path, options, writes=False, max_batch=options.batch),
            SqliteExecutor(path, options, writes=False, max_batch=4),
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
            raise StoreInUse(f"another process serves {self.path}") from taken

    async def close(self) -> None:
        await super().close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def is_file_error(error: BaseException) -> bool:
    """Return whether the file is at fault (full, unreadable, corrupt), not the statement."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def error_code(error: BaseException | None) -> int:
    """Return the primary result code, 1 (SQLITE_ERROR) if there is none."""
    return int(getattr(error, "sqlite_errorcode", 1)) & 0xFF


def error_name(error: BaseException | None) -> str:
    """Return the name in SQLite's manual, such as SQLITE_IOERR_WRITE."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def blocks_writes(error: BaseException | None) -> bool:
    """Return whether other writes will probably fail too."""
    return isinstance(error, sqlite3.Error) and error_code(error) in _WRITE_ERRORS


def needs_new_connection(error: BaseException | None) -> bool:
    """Return whether a new connection may work: it does not help with a full disk or a lock."""
    return blocks_writes(error) and error_code(error) not in (_FULL, _BUSY)


def database_down(error: Exception, database: Dependency) -> DependencyDown:
    """Log the error, and return what the caller gets. SQLite's own texts hold no values."""
    code = error_name(error)
    log_failure("database_failed", kind=f"{database} {code}", database=database, code=code, error=repr(error))
    return DependencyDown(database)
