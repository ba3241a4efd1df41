"""Jobs that one process at a time does, and worker ids: rows that end by themselves.

The database's clock decides, so that the processes' own need not agree. A holder that was paused past its
end may still be in the middle of a step: every step is a compare-and-set, or absorbed by its receiver, or
written under the lease's fence.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from time import monotonic
from typing import Protocol

from shop_order.domain.errors import DependencyDown, OrderServiceError
from shop_order.domain.ports import Fence, LeaseLost
from shop_order.pkg.log import get_logger
from shop_order.repository.dao.engine.base import Database, Session

log = get_logger("leases")
JOB_S = 10.0
WORKER_S = 60.0
ASK_AGAIN_S = 1.0  # after another process was found to hold it
WORKERS = 1024  # what a snowflake has room for
_NOW = "CAST(unix_timestamp(now(3)) * 1000 AS SIGNED)"
_ADD = (
    "INSERT INTO job_lease (name, holder, until_ms, fence) VALUES (?, '', 0, 0)"
    " ON DUPLICATE KEY UPDATE name = name"
)
# Set from left to right: the fence counts changes of the holder.
_TAKE = (
    f"UPDATE job_lease SET fence = fence + (holder <> ?), holder = ?, until_ms = {_NOW} + ?"
    f" WHERE name = ? AND (holder = ? OR until_ms < {_NOW})"
)
_FENCE = "SELECT fence FROM job_lease WHERE name = ?"
_LEAVE = "UPDATE job_lease SET until_ms = 0 WHERE holder = ?"
_TAKEN = f"SELECT name FROM job_lease WHERE name LIKE ? AND until_ms >= {_NOW} AND holder <> ?"


ONLY = 1  # the number of every fence where one process serves
WRITES = "writes"  # there, a row beside the leases that nobody holds, written for its own sake
ROOM = 128 * 1024  # bytes, written twice over
SMALL = (
    "INSERT INTO job_lease (name, holder, until_ms, fence) VALUES (?, '', ?, 0)"
    " ON CONFLICT (name) DO UPDATE SET until_ms = excluded.until_ms, holder = ''"
)
LARGE = "UPDATE job_lease SET holder = hex(zeroblob(?)) WHERE name = ?"


class Leases(Protocol):
    """Which of the processes that share a database does what; a lease ends by itself."""

    async def hold(self, name: str) -> bool:
        """Whether this process may do this job now; a free one is taken. Raises DependencyDown."""

    def fence(self, name: str) -> Fence:
        """The proof of the last time this process was given this lease; a write under it is refused once
        another process had it since (LeaseLost). Raises LookupError for a lease that `hold` never gave."""

    async def now_ms(self) -> int:
        """By the clock that ends the leases; epoch milliseconds. Raises DependencyDown."""

    async def worker(self) -> int:
        """The worker id of this process's snowflakes, another one if it was lost. Raises DependencyDown."""

    @property
    def worker_ends_s(self) -> float:
        """When, by this process's monotonic clock, the worker id may be another's unless asked for again."""

    async def renew(self) -> None:
        """Write that this process is alive. Raises DependencyDown."""

    async def leave_all(self) -> None:
        """Let others have them at once."""


class SharedLeases:
    """See `Leases`: rows of the database that several processes share."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._holder = f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._until: dict[str, float] = {}  # monotonic seconds up to which a name is ours
        self._ask_at: dict[str, float] = {}
        self._fences: dict[str, int] = {}
        self._worker: int | None = None

    async def hold(self, name: str) -> bool:
        return await self._hold(name, JOB_S)

    def fence(self, name: str) -> Fence:
        return Fence(name, self._fences[name])

    async def now_ms(self) -> int:
        (now_ms,) = await self._db.writer.submit(lambda session: session.first(f"SELECT {_NOW}")) or (0,)
        return int(now_ms)

    async def worker(self) -> int:
        if self._worker is not None and await self._hold(f"worker-{self._worker}", WORKER_S):
            return self._worker
        rows = await self._db.writer.submit(lambda session: session.all(_TAKEN, ("worker-%", self._holder)))
        taken = {name for (name,) in rows}
        for number in range(WORKERS):
            name = f"worker-{number}"
            if name not in taken and await self._hold(name, WORKER_S):
                self._worker = number
                return number
        raise DependencyDown("worker_id")

    async def renew(self) -> None:
        if self._worker is not None:
            await self._hold(f"worker-{self._worker}", WORKER_S, at_once=True)

    @property
    def worker_ends_s(self) -> float:
        return self._until.get(f"worker-{self._worker}", 0.0)

    async def leave_all(self) -> None:
        if not self._until:
            return
        try:
            await self._db.writer.submit(lambda session: session.run(_LEAVE, (self._holder,)))
        except OrderServiceError as away:
            log.warning("leases_end_by_themselves", error=str(away))
        self._until.clear()

    async def _hold(self, name: str, lasts_s: float, *, at_once: bool = False) -> bool:
        now = monotonic()
        if not at_once and self._until.get(name, 0.0) - now > lasts_s / 2:
            return True
        if now < self._ask_at.get(name, 0.0):
            return False
        values = (self._holder, self._holder, int(lasts_s * 1000), name, self._holder)

        async def job(session: Session) -> int | None:
            ours = await session.run(_TAKE, values) or (
                await session.run(_ADD, (name,)) and await session.run(_TAKE, values)
            )
            return await number(session, name) if ours else None

        given = await self._db.writer.submit(job)
        if given is not None:
            self._fences[name] = given
            if name not in self._until:
                log.info("lease_taken", lease=name, holder=self._holder)
            self._until[name] = now + lasts_s
            return True
        if self._until.pop(name, None) is not None:
            log.warning("lease_lost", lease=name, holder=self._holder)
        self._ask_at[name] = now + ASK_AGAIN_S
        return False


class OneProcess:
    """See `Leases`: the file's lock lets no other process serve it."""

    worker_ends_s = float("inf")

    def __init__(self, db: Database) -> None:
        self._db = db

    async def hold(self, name: str) -> bool:
        return True

    def fence(self, name: str) -> Fence:
        return Fence(name, ONLY)

    async def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def worker(self) -> int:
        return 0

    async def renew(self) -> None:
        """Write something, and more of it after a write was refused: an order must fit, not only what
        changes in place."""
        small = (WRITES, time.time_ns() // 1_000_000)
        if self._db.writer.trouble:
            await self._db.writer.submit(lambda session: session.run(SMALL, small))  # the row is there
            await self._db.writer.submit(lambda session: session.run(LARGE, (ROOM, WRITES)))
        await self._db.writer.submit(lambda session: session.run(SMALL, small))

    async def leave_all(self) -> None:
        """Nobody waits for them."""


async def require(session: Session, fence: Fence) -> None:
    """Nobody else is given the lease before this transaction ends. Raises LeaseLost if somebody was."""
    words = session.dialect
    held = ONLY if words.one_writer else await number(session, fence.lease, words.for_update)
    if held != fence.number:
        raise LeaseLost(fence)


async def number(session: Session, name: str, lock: str = "") -> int:
    """How often the lease changed its holder."""
    row = await session.first(_FENCE + lock, (name,))
    return int(row[0]) if row else 0
