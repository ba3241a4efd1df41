"""A database on MySQL, MariaDB or TiDB: a writer and two readers, whose connections are made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

from shop_order.domain.errors import DependencyDown, TooMuchContention
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.repository.dao.engine.base import Database, Interrupted, Job, StoreOptions, Worker, all_of
from shop_order.repository.dao.engine.mysql_address import Address
from shop_order.repository.dao.engine.mysql_errors import LostConnection, ReadOnly, no_room, why
from shop_order.repository.dao.engine.mysql_session import ServerSession

log = get_logger("store")
away = RateLimitedLog(log.error)
lost_again = RateLimitedLog(log.warning)
TRIES = 4
OPEN_S = 4.0
READ_S = 5.0
BATCH_S = 15.0  # longer than one lock wait: a batch that takes longer has lost its server
OUTCOME_S = 10.0  # how long the outcome of a commit without an answer is asked for
PAUSE_S = (0.05, 1.0)  # between attempts to connect: first, longest


class Link:
    """A connection that is made when it is needed, and made anew after it broke."""

    def __init__(self, address: Address, *, writes: bool) -> None:
        self._address = address
        self._writes = writes
        self._session: ServerSession | None = None
        self._pause_s = 0.0
        self._not_before = 0.0

    async def session(self) -> ServerSession:
        """Raises DependencyDown; a server that did not answer is left alone for a moment."""
        if self._session is None:
            if monotonic() < self._not_before:
                raise DependencyDown("order_database", str(self._address))
            try:
                async with asyncio.timeout(OPEN_S):  # a server that hangs takes connections and says nothing
                    self._session = await ServerSession.open(self._address, writes=self._writes)
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


class ServerWorker(Worker):
    """See `engine.base.Worker`. A transaction that was interrupted is done again, a few times."""

    def __init__(self, address: Address, options: StoreOptions, *, writes: bool, max_batch: int) -> None:
        super().__init__(str(address), options, writes=writes, max_batch=max_batch)
        self._link = Link(address, writes=writes)
        self._writes = writes

    async def _run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        return await (self._written(jobs) if self._writes else self._read(jobs))

    async def _disconnect(self) -> None:
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

    async def _undo(self, session: ServerSession) -> None:
        try:
            await session.rollback()
        except Interrupted:
            self._link.drop()

    async def _stood(self, lost: ServerSession) -> bool:
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
                    results = await all_of(session, jobs)
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


class ServerDatabase(Database):
    """The server's database; several processes may share it (decision mysql)."""

    is_shared = True

    def __init__(self, address: Address, options: StoreOptions) -> None:
        super().__init__(
            ServerWorker(address, options, writes=True, max_batch=options.batch),
            ServerWorker(address, options, writes=False, max_batch=options.batch),
            ServerWorker(address, options, writes=False, max_batch=4),
            options,
        )
