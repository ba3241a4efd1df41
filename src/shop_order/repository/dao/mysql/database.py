"""One MySQL or MariaDB database: a writer whose batches share a commit, and two readers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar, cast

from shop_order.domain.errors import DependencyDown, Overloaded, TooMuchContention
from shop_order.pkg.batching import Batcher
from shop_order.pkg.log import get_logger
from shop_order.pkg.log.rarely import Rarely
from shop_order.repository.dao.base import StoreOptions
from shop_order.repository.dao.mysql.address import Address
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.mysql.trouble import Interrupted, LostConnection, ReadOnly, no_room, why

T = TypeVar("T")
Job = Callable[[Session], Awaitable[Any]]
Many = Callable[[Session, Sequence[Any]], Awaitable[Sequence[Any] | None]]
log = get_logger("store")
away = Rarely(log.error)
lost_again = Rarely(log.warning)
TRIES = 4
OPEN_S = 4.0
READ_S = 5.0
BATCH_S = 15.0  # longer than one lock wait: a batch that takes longer has lost its server
OUTCOME_S = 10.0  # how long the outcome of a commit without an answer is asked for
PAUSE_S = (0.05, 1.0)  # between attempts to connect: first, longest
FEW = 8  # so many are done one by one: to look further for the one that is at fault would cost as much
ALONE: Any = object()  # what is said of an item that must be done by itself, after the others


@dataclass(frozen=True, slots=True)
class BulkJob(Generic[T]):
    """A job that many of its kind can do by fewer statements: `many` does the items of a batch, and answers
    with each one's result or refusal, or ALONE; or with None: then what it did is undone, and the item that
    is at fault is looked for."""

    item: T
    one: Callable[[Session, T], Awaitable[Any]]
    many: Callable[[Session, Sequence[T]], Awaitable[Sequence[Any] | None]]

    async def __call__(self, session: Session) -> Any:
        return await self.one(session, self.item)


class Link:
    """A connection that is made when it is needed, and made anew after it broke."""

    def __init__(self, address: Address, *, writes: bool) -> None:
        self._address = address
        self._writes = writes
        self._session: Session | None = None
        self._pause_s = 0.0
        self._not_before = 0.0

    async def session(self) -> Session:
        """Raises DependencyDown; a server that did not answer is left alone for a moment."""
        if self._session is None:
            if monotonic() < self._not_before:
                raise DependencyDown("order_database", str(self._address))
            try:
                async with asyncio.timeout(OPEN_S):  # a server that hangs takes connections and says nothing
                    self._session = await Session.open(self._address, writes=self._writes)
            except (Interrupted, DependencyDown, TimeoutError) as failed:
                self.leave_alone()
                away(
                    "database_away",
                    kind=type(failed).__name__,
                    database=str(self._address),
                    error=repr(failed),
                )
                raise DependencyDown("order_database", str(self._address)) from failed
        return self._session

    def leave_alone(self) -> None:
        """Connect again after a moment only, longer each time until `is_well`."""
        first, longest = PAUSE_S
        self._pause_s = min(max(first, self._pause_s * 2), longest)
        self._not_before = monotonic() + self._pause_s

    def is_well(self) -> None:
        """The server did what it was asked."""
        self._pause_s = 0.0

    def drop(self) -> None:
        """The connection is of no use any more."""
        if self._session is not None:
            self._session.drop()
            self._session = None

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Worker:
    """One connection that runs jobs in batches, each batch in one transaction."""

    def __init__(self, address: Address, options: StoreOptions, *, writes: bool, most: int) -> None:
        self._link = Link(address, writes=writes)
        self._where = str(address)
        self.trouble = ""  # why it takes no writes, since the store's `check_writes` was content
        self.batches: Batcher[Job, Any] = Batcher(
            self._written if writes else self._read,
            most=most,
            queue=options.queue,
            full=Overloaded,
            observe=options.on_batch if writes else None,
        )

    async def submit(self, job: Callable[[Session], Awaitable[T]]) -> T:
        """Run the job; what it raises undoes this job only. It may be run again: it decides, then stores."""
        try:
            return cast(T, await self.batches.submit(job))
        except DependencyDown as refused:
            refused.where = refused.where or self._where
            raise

    async def close(self) -> None:
        """Finish the queue, then disconnect."""
        await self.batches.join()
        await self._link.close()

    async def _written(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """What `_write` answers; why the server took no writes is kept."""
        try:
            results = await self._write(jobs)
        except DependencyDown as refused:
            self.trouble = why(refused)
            raise
        for result in filter(no_room, results):
            self.trouble = why(result)
        return results

    async def _write(self, jobs: Sequence[Job]) -> Sequence[Any]:
        refused = False
        for _ in range(TRIES):
            session = await self._link.session()
            results: Sequence[Any] = ()
            try:
                async with asyncio.timeout(BATCH_S):
                    results = await all_of(session, jobs)
                    await session.commit()
                self._link.is_well()
                return results
            except (LostConnection, TimeoutError) as lost:
                lost_again(
                    "connection_lost",
                    kind=type(lost).__name__,
                    committing=session.committing,
                    error=repr(lost),
                )
                self._link.drop()
                if session.committing and await self._stood(session):
                    return results
                if isinstance(lost, ReadOnly):
                    if refused:  # also by the server that a new connection reached
                        self._link.leave_alone()
                        raise DependencyDown("order_database") from lost
                    refused = True
            except Interrupted as interrupted:
                log.info("transaction_retried", error=str(interrupted), jobs=len(jobs))
                await self._undo(session)
            except BaseException:
                self._link.drop()  # in the middle of a statement, or of a transaction that is none of ours
                raise
        if len(jobs) == 1:
            raise TooMuchContention
        return [await self._alone(job) for job in jobs]

    async def _alone(self, job: Job) -> Any:
        try:
            return (await self._write([job]))[0]
        except Exception as failed:  # noqa: BLE001 - it is handed to the job's own caller
            return failed

    async def _undo(self, session: Session) -> None:
        try:
            await session.rollback()
        except Interrupted:
            self._link.drop()

    async def _stood(self, lost: Session) -> bool:
        """Whether a commit without an answer was made: one of its rows tells. Raises DependencyDown."""
        if lost.proof is None:
            raise DependencyDown("order_database")
        sql, values = lost.proof
        end = monotonic() + OUTCOME_S
        while monotonic() < end:
            try:
                session = await self._link.session()
                async with asyncio.timeout(BATCH_S):
                    # Locking waits for the lost transaction's own end, should the server still be at it.
                    found = await session.first(f"{sql} FOR UPDATE", values)
                    await session.rollback()
                return found is not None
            except (Interrupted, TimeoutError):
                self._link.drop()
                await asyncio.sleep(PAUSE_S[0])
            except DependencyDown:
                await asyncio.sleep(PAUSE_S[0])
        raise DependencyDown("order_database")

    async def _read(self, jobs: Sequence[Job]) -> Sequence[Any]:
        for _ in range(2):
            session = await self._link.session()
            try:
                async with asyncio.timeout(READ_S):
                    # One snapshot, from the first statement to the rollback: an order and its attempts agree.
                    results = [await attempt(session, job) for job in jobs]
                    await session.rollback()
                self._link.is_well()
                return results
            except (Interrupted, TimeoutError) as lost:
                lost_again("connection_lost", kind=type(lost).__name__, committing=False, error=repr(lost))
                self._link.drop()
            except BaseException:
                self._link.drop()
                raise
        raise DependencyDown("order_database")


async def all_of(session: Session, jobs: Sequence[Job]) -> list[Any]:
    """The result of each job; those that can be done together are, unless that meets a conflict."""
    done: dict[int, Any] = {}
    kinds = dict.fromkeys(job.many for job in jobs if isinstance(job, BulkJob))
    for many in kinds:
        at = [n for n, job in enumerate(jobs) if isinstance(job, BulkJob) and job.many is many]
        items = [cast(BulkJob[Any], jobs[n]).item for n in at]
        results = await in_bulk(session, many, items, first=not done)
        done.update((n, result) for n, result in zip(at, results, strict=True) if result is not ALONE)
    return [done[n] if n in done else await one(session, job) for n, job in enumerate(jobs)]


async def in_bulk(session: Session, many: Many, items: Sequence[Any], *, first: bool) -> Sequence[Any]:
    """Each one's result; nothing was changed for one that is left ALONE. One that hinders the others is
    looked for by halves, so that it costs a few of them their place in a batch, not all."""
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
    proof = session.proof
    if not first:
        await session.run("SAVEPOINT many")
    try:
        results = await many(session, items)
    except Interrupted:
        raise
    except Exception:  # noqa: BLE001 - each is tried alone in the end, and its caller is told
        results = None
    if results is None:
        if first:
            await session.rollback()
        else:
            await session.run("ROLLBACK TO SAVEPOINT many")
            session.disprove(proof)
    return results


async def one(session: Session, job: Job) -> Any:
    """Run a job so that its failure undoes nothing of its neighbours."""
    proof = session.proof
    await session.run("SAVEPOINT one")
    result = await attempt(session, job)
    if isinstance(result, Exception):
        await session.run("ROLLBACK TO SAVEPOINT one")
        session.disprove(proof)
    return result


async def attempt(session: Session, job: Job) -> Any:
    """The job's result, or what it raised as a value; what ends the whole transaction is raised."""
    try:
        return await job(session)
    except Interrupted:
        raise
    except Exception as refused:  # noqa: BLE001 - it is handed to the job's own caller
        return refused


class Database:
    """The writer, a reader for look-ups and one for scans, so that a list delays no look-up."""

    def __init__(self, address: Address, options: StoreOptions) -> None:
        self.queue = options.queue
        self.batch = options.batch
        self.writer = Worker(address, options, writes=True, most=options.batch)
        self.reader = Worker(address, options, writes=False, most=options.batch)
        self.scanner = Worker(address, options, writes=False, most=4)

    async def close(self) -> None:
        """Finish every queue, and disconnect."""
        for worker in (self.scanner, self.reader, self.writer):
            await worker.close()
