"""An SQLite file with one writer thread; jobs that arrive together share a commit."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

MAX_QUEUED_JOBS = 10_000
MAX_JOBS_PER_COMMIT = 64


class DatabaseBusy(RuntimeError):
    """The queue of the writer thread is full."""


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Database:
    """A durable store (WAL, synchronous=FULL) that belongs to the event loop that opened it."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = True

    def open(self) -> None:
        """Create the file and its tables if missing, and start the writer thread."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for exposed in self._path.parent.glob(f"{self._path.name}*"):  # by an older version
            with contextlib.suppress(PermissionError):  # another user's file
                exposed.chmod(0o600)
        self._connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.execute("PRAGMA temp_store=MEMORY")  # no temporary folder is needed
        self._connection.execute("PRAGMA busy_timeout=5000")
        self._connection.executescript(f"BEGIN; {self._schema} COMMIT;")
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name=f"db-{self._path.stem}", daemon=True)
        self._closed = False
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer thread and return its result after the commit.

        An exception in `work` rolls back this job only. Raises DatabaseBusy at once if the queue is full.
        """
        if self._closed:
            raise RuntimeError(f"{self._path.name} is closed")
        if self._jobs.qsize() >= MAX_QUEUED_JOBS:
            raise DatabaseBusy(self._path.name)
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, future))
        return await future

    async def close(self) -> None:
        """Finish the queued jobs, then close the file."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _serve(self) -> None:
        running = True
        while running:
            batch: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                if len(batch) == MAX_JOBS_PER_COMMIT:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            running = job is not None
            if batch:
                self._commit(batch)
                with contextlib.suppress(RuntimeError):  # the loop may have been closed under a killed test
                    self._loop.call_soon_threadsafe(_answer, batch)

    def _commit(self, batch: list[_Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if len(batch) == 1:
                batch[0].result = batch[0].work(connection)
            else:
                for job in batch:
                    _run_job(connection, job)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - passed to the jobs' callers; the thread goes on
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in batch:
                job.error = job.error or error


def _run_job(connection: sqlite3.Connection, job: _Job) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:  # noqa: BLE001 - rolls back this job only
        job.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _answer(batch: list[_Job]) -> None:
    for job in batch:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
