"""Which process may run a job: one of the instances, or a command beside them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from shop_order.configs import Settings
from shop_order.configs.engines import sqlite_path
from shop_order.domain.lease import Fence, LeaseLost
from shop_order.pkg.registry import Registry, RegistryLock, RegistryUnavailable
from shop_order.repository.dao.store import StoreTaken

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core

T = TypeVar("T")
TURN_S = 10.0
RENEW_S = 2.0  # often enough for a lease in the database
ASK_AGAIN_S = 10.0  # after a registry did not answer: a job must not wait for it at every step
WAIT_S = 15.0  # longer than a lease lasts: its holder may have died


async def while_locked(
    ours: Callable[[], Awaitable[bool]], fence: Fence, work: Coroutine[Any, Any, T], every_s: float = RENEW_S
) -> T:
    """Do long work, and renew our turn meanwhile. Raises LeaseLost once another process has it."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=every_s))[0]:
            if not await ours():
                raise LeaseLost(fence)
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class JobLocks:
    """The registry's locks for jobs that only one instance runs.

    They only save work: the lease in the database decides, and every step of these jobs is a
    compare-and-set, so a holder that was paused and continues too late changes nothing. A registry that is
    away therefore stops no job. An instance without the lease must leave its turn.
    """

    def __init__(self, registry: Registry, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._monotonic_s = monotonic_s
        self._ask_at_s = float("-inf")
        self._leases: dict[str, RegistryLock] = {}

    async def ours(self, job: str) -> bool:
        """Whether this instance may run the job now."""
        lease = self._leases.get(job)
        if (lease is not None and lease.held()) or self._monotonic_s() < self._ask_at_s:
            return True
        try:
            if lease is not None:
                await lease.release()  # or our expired lock would keep us out until it ends
                del self._leases[job]
            lease = await self._registry.lock(job, TURN_S)
        except RegistryUnavailable:
            self._ask_at_s = self._monotonic_s() + ASK_AGAIN_S
            return True
        if lease is not None:
            self._leases[job] = lease
        return lease is not None

    def lease(self, job: str) -> RegistryLock | None:
        """Our lock of the job; None while the registry is away."""
        return self._leases.get(job)

    async def leave(self, job: str) -> None:
        """Release the lock of this job."""
        if lease := self._leases.pop(job, None):
            with suppress(RegistryUnavailable):  # then it expires
                await lease.release()

    async def end(self) -> None:
        """Release all locks, so that others continue at once."""
        await asyncio.gather(*map(self.leave, tuple(self._leases)))


async def wait_for_lock(core: Core, turns: JobLocks, job: str) -> bool:
    """Whether the turn is ours within `WAIT_S`: a process that has it may have died."""
    until = time.monotonic() + WAIT_S
    while not (await core.store.leases.hold(job) and await turns.ours(job)):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.5)
    return True


@contextmanager
def exclusive_job(settings: Settings, job: str) -> Iterator[None]:
    """Lock this job on a database file; a shared server has leases for that. Raises StoreTaken."""
    if not settings.db.url.startswith("sqlite:"):
        yield
        return
    lock = os.open(f"{sqlite_path(settings.db.url)}.{job}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        os.close(lock)
        raise StoreTaken(f"another {job} works on this database") from taken
    try:
        yield
    finally:
        os.close(lock)
