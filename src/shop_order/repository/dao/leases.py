"""Leases of jobs, each of which one process runs at a time, and of worker ids.

They expire by the database's clock, so that the processes' clocks need not agree. A holder that was paused
beyond its lease may still be inside a step: every step is a compare-and-set, absorbed by its receiver, or
written under the lease's fence.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from time import monotonic

from shop_order.domain.errors import DependencyDown, OrderServiceError
from shop_order.domain.ports import Fence, LeaseLost
from shop_order.pkg.log import get_logger
from shop_order.repository.dao.engine.base import Database, Session, StorePart

log = get_logger("leases")
JOB_LEASE_S = 10.0
WORKER_ID_LEASE_S = 60.0
RETRY_S = 1.0  # delay after another process was found to hold a lease
MAX_WORKER_IDS = 1024  # what a snowflake has room for
_NOW = "CAST(unix_timestamp(now(3)) * 1000 AS SIGNED)"
_ADD = (
    "INSERT INTO job_lease (name, holder, until_ms, fence) VALUES (?, '', 0, 0)"
    " ON DUPLICATE KEY UPDATE name = name"
)
# MySQL assigns from left to right: the fence counts changes of the holder.
_TAKE = (
    f"UPDATE job_lease SET fence = fence + (holder <> ?), holder = ?, until_ms = {_NOW} + ?"
    f" WHERE name = ? AND (holder = ? OR until_ms < {_NOW})"
)
_FENCE = "SELECT fence FROM job_lease WHERE name = ?"
_RELEASE = "UPDATE job_lease SET until_ms = 0 WHERE holder = ?"
_TAKEN = f"SELECT name FROM job_lease WHERE name LIKE ? AND until_ms >= {_NOW} AND holder <> ?"

ONLY_FENCE = 1  # the number of every fence where one process serves
TEST_ROW = "writes"  # there, the row of test writes, which is no lease
TEST_BYTES = 128 * 1024  # the size of a large test write, before hex() doubles it
SMALL_WRITE = (
    "INSERT INTO job_lease (name, holder, until_ms, fence) VALUES (?, '', ?, 0)"
    " ON CONFLICT (name) DO UPDATE SET until_ms = excluded.until_ms, holder = ''"
)
LARGE_WRITE = "UPDATE job_lease SET holder = hex(zeroblob(?)) WHERE name = ?"


class JobLeases(StorePart):
    """Which process runs which job. Here one process serves, by the file's lock, and holds every lease."""

    async def hold(self, name: str) -> bool:
        """Acquire or renew the lease; return whether this process holds it. Raises DependencyDown."""
        return True

    def fence(self, name: str) -> Fence:
        """Return the fence of a lease this process acquired; else raises LookupError.

        Once another process acquires the lease, writes under this fence raise LeaseLost.
        """
        return Fence(name, ONLY_FENCE)

    async def now_ms(self) -> int:
        """Return the time of the clock that ends leases, in epoch milliseconds. Raises DependencyDown."""
        return time.time_ns() // 1_000_000

    async def worker_id(self) -> int:
        """Return the worker id for snowflakes, a new one if it was lost. Raises DependencyDown."""
        return 0

    @property
    def worker_id_expires_s(self) -> float:
        """When the worker id expires unless renewed, by this process's monotonic clock."""
        return float("inf")

    async def renew(self) -> None:
        """Renew the worker id at once, which is also a test write. Raises DependencyDown.

        In a file: after a refused write also a large one, since an order must fit; a small one may succeed on
        a full disk because it changes a page in place.
        """
        writer, small = self._db.writer, (TEST_ROW, time.time_ns() // 1_000_000)
        if writer.write_error:
            await writer.run(SMALL_WRITE, small)  # creates the row
            await writer.run(LARGE_WRITE, (TEST_BYTES, TEST_ROW))
        await writer.run(SMALL_WRITE, small)

    async def release_all(self) -> None:
        """Release all leases."""


class SharedJobLeases(JobLeases):
    """The leases of processes that share a database; each is a row."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self._holder = f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._until: dict[str, float] = {}  # when each held lease expires, in monotonic seconds
        self._retry_at: dict[str, float] = {}
        self._fences: dict[str, int] = {}
        self._worker_id: int | None = None

    async def hold(self, name: str) -> bool:
        return await self._hold(name, JOB_LEASE_S)

    def fence(self, name: str) -> Fence:
        return Fence(name, self._fences[name])

    async def now_ms(self) -> int:
        (now_ms,) = await self._db.writer.first(f"SELECT {_NOW}") or (0,)
        return int(now_ms)

    async def worker_id(self) -> int:
        if self._worker_id is not None and await self._hold(f"worker-{self._worker_id}", WORKER_ID_LEASE_S):
            return self._worker_id
        rows = await self._db.writer.all(_TAKEN, ("worker-%", self._holder))
        taken = {name for (name,) in rows}
        for number in range(MAX_WORKER_IDS):
            name = f"worker-{number}"
            if name not in taken and await self._hold(name, WORKER_ID_LEASE_S):
                self._worker_id = number
                return number
        raise DependencyDown("worker_id")

    async def renew(self) -> None:
        if self._worker_id is not None:
            await self._hold(f"worker-{self._worker_id}", WORKER_ID_LEASE_S, at_once=True)

    @property
    def worker_id_expires_s(self) -> float:
        return self._until.get(f"worker-{self._worker_id}", 0.0)

    async def release_all(self) -> None:
        if not self._until:
            return
        try:
            await self._db.writer.run(_RELEASE, (self._holder,))
        except OrderServiceError as down:
            log.warning("leases_end_by_themselves", error=str(down))
        self._until.clear()

    async def _hold(self, name: str, lasts_s: float, *, at_once: bool = False) -> bool:
        now = monotonic()
        if not at_once and self._until.get(name, 0.0) - now > lasts_s / 2:
            return True
        if now < self._retry_at.get(name, 0.0):
            return False
        values = (self._holder, self._holder, int(lasts_s * 1000), name, self._holder)

        async def job(session: Session) -> int | None:
            is_ours = await session.run(_TAKE, values) or (
                await session.run(_ADD, (name,)) and await session.run(_TAKE, values)
            )
            return await fence_number(session, name) if is_ours else None

        fence_now = await self._db.writer.submit(job)
        if fence_now is not None:
            self._fences[name] = fence_now
            if name not in self._until:
                log.info("lease_taken", lease=name, holder=self._holder)
            self._until[name] = now + lasts_s
            return True
        if self._until.pop(name, None) is not None:
            log.warning("lease_lost", lease=name, holder=self._holder)
        self._retry_at[name] = now + RETRY_S
        return False


async def require_fence(session: Session, fence: Fence) -> None:
    """Keep the lease until this transaction ends. Raises LeaseLost if another process acquired it."""
    dialect = session.dialect
    single = dialect.single_writer
    current = ONLY_FENCE if single else await fence_number(session, fence.lease, dialect.for_update)
    if current != fence.number:
        raise LeaseLost(fence)


async def fence_number(session: Session, name: str, lock: str = "") -> int:
    """Return the fence number: how often the lease changed its holder."""
    row = await session.first(_FENCE + lock, (name,))
    return int(row[0]) if row else 0
