"""A database on MySQL, MariaDB or TiDB: a writer and two readers that reconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

from shop_order.domain.errors import DependencyDown, TooMuchContention
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.repository.dao.engine.base import (
    Database,
    Executor,
    Job,
    StoreOptions,
    TransactionAborted,
    run_jobs,
)
from shop_order.repository.dao.engine.mysql_session import (
    LostConnection,
    MysqlAddress,
    MysqlSession,
    ReadOnly,
    cause_name,
    is_write_refusal,
)

log = get_logger("store")
log_unreachable = RateLimitedLog(log.error)
log_lost_connection = RateLimitedLog(log.warning)
MAX_TRIES = 4
OPEN_S = 4.0
READ_S = 5.0
BATCH_S = 15.0  # longer than one lock wait: a slower batch has lost its server
OUTCOME_S = 10.0  # how long the outcome of an unanswered commit is queried
PAUSE_S = (0.05, 1.0)  # between attempts to connect: first, longest


class MysqlExecutor(Executor):
    """The connection is opened on use, and again after it was lost; an aborted transaction is retried."""

    def __init__(self, address: MysqlAddress, options: StoreOptions, *, writes: bool, max_batch: int) -> None:
        super().__init__(str(address), options, writes=writes, max_batch=max_batch)
        self._address = address
        self._writes = writes
        self._session: MysqlSession | None = None
        self._pause_s = 0.0
        self._not_before = 0.0

    async def _run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        if not self._writes:
            return await self._read(jobs)
        try:
            results = await self._write(jobs)
        except DependencyDown as refused:
            self.write_error = cause_name(refused)
            raise
        for result in filter(is_write_refusal, results):
            self.write_error = cause_name(result)
        return results

    async def _disconnect(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _connected(self) -> MysqlSession:
        """Return the open session. Raises DependencyDown, at once during a back-off."""
        if self._session is None:
            if monotonic() < self._not_before:
                raise DependencyDown("order_database")
            try:
                async with asyncio.timeout(OPEN_S):  # a hanging server accepts connections without answering
                    self._session = await MysqlSession.open(self._address, writes=self._writes)
            except (TransactionAborted, DependencyDown, TimeoutError) as failed:
                self._back_off()
                log_unreachable(
                    "database_away",
                    kind=type(failed).__name__,
                    database=str(self._address),
                    error=repr(failed),
                )
                raise DependencyDown("order_database") from failed
        return self._session

    def _back_off(self) -> None:
        """Delay the next connection, longer each time until a batch succeeds."""
        first, longest = PAUSE_S
        self._pause_s = min(max(first, self._pause_s * 2), longest)
        self._not_before = monotonic() + self._pause_s

    def _drop(self) -> None:
        """Close the broken connection at once."""
        if self._session is not None:
            self._session.drop()
            self._session = None

    async def _write(self, jobs: Sequence[Job]) -> Sequence[Any]:
        refused = False
        for _ in range(MAX_TRIES):
            session = await self._connected()
            results: Sequence[Any] = ()
            try:
                async with asyncio.timeout(BATCH_S):
                    results = await run_jobs(session, jobs)
                    await session.commit()
                self._pause_s = 0.0
                return results
            except (LostConnection, TimeoutError) as lost:
                log_lost_connection(
                    "connection_lost",
                    kind=type(lost).__name__,
                    committing=session.committing,
                    error=repr(lost),
                )
                self._drop()
                if session.committing and await self._was_committed(session):
                    return results
                if isinstance(lost, ReadOnly):
                    if refused:  # by the server behind a new connection too
                        self._back_off()
                        raise DependencyDown("order_database") from lost
                    refused = True
            except TransactionAborted as interrupted:
                log.info("transaction_retried", error=str(interrupted), jobs=len(jobs))
                await self._undo(session)
            except BaseException:
                self._drop()  # its state is unknown
                raise
        if len(jobs) == 1:
            raise TooMuchContention
        return [await self._run_alone(job) for job in jobs]

    async def _run_alone(self, job: Job) -> Any:
        try:
            return (await self._write([job]))[0]
        except Exception as failed:  # noqa: BLE001 - it is raised to the job's own caller
            return failed

    async def _undo(self, session: MysqlSession) -> None:
        try:
            await session.rollback()
        except TransactionAborted:
            self._drop()

    async def _was_committed(self, lost: MysqlSession) -> bool:
        """Return whether a commit whose response was lost took effect. Raises DependencyDown."""
        if lost.commit_check is None:
            raise DependencyDown("order_database")
        sql, values = lost.commit_check
        end = monotonic() + OUTCOME_S
        while monotonic() < end:
            try:
                session = await self._connected()
                async with asyncio.timeout(BATCH_S):
                    # FOR UPDATE waits for the lost transaction if it is still running.
                    found = await session.first(f"{sql} FOR UPDATE", values)
                    await session.rollback()
                return found is not None
            except (TransactionAborted, TimeoutError):
                self._drop()
                await asyncio.sleep(PAUSE_S[0])
            except DependencyDown:
                await asyncio.sleep(PAUSE_S[0])
        raise DependencyDown("order_database")

    async def _read(self, jobs: Sequence[Job]) -> Sequence[Any]:
        for _ in range(2):
            session = await self._connected()
            try:
                async with asyncio.timeout(READ_S):
                    # One snapshot for the whole batch: an order and its payments are consistent.
                    results = await run_jobs(session, jobs)
                    await session.rollback()
                self._pause_s = 0.0
                return results
            except (TransactionAborted, TimeoutError) as lost:
                log_lost_connection(
                    "connection_lost", kind=type(lost).__name__, committing=False, error=repr(lost)
                )
                self._drop()
            except BaseException:
                self._drop()
                raise
        raise DependencyDown("order_database")


class MysqlDatabase(Database):
    """The server's database; several processes may share it (decision mysql)."""

    is_shared = True

    def __init__(self, address: MysqlAddress, options: StoreOptions) -> None:
        super().__init__(
            MysqlExecutor(address, options, writes=True, max_batch=options.batch),
            MysqlExecutor(address, options, writes=False, max_batch=options.batch),
            MysqlExecutor(address, options, writes=False, max_batch=4),
            options,
        )
