"""Which process may run a job: one of the instances, or a command."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from shop_order.cmd.wiring.roots import database
from shop_order.configs import Settings
from shop_order.configs.engines import sqlite_path
from shop_order.domain.ports import Fence, LeaseLost
from shop_order.pkg import tasks
from shop_order.pkg.registry import Registry, RegistryLock, RegistryUnavailable
from shop_order.repository.dao.store import StoreInUse

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core

T = TypeVar("T")
LOCK_S = 10.0
RENEW_S = 2.0  # often enough for a lease in the database
RETRY_S = 10.0  # after an unreachable registry, which must not delay every step
WAIT_S = 15.0  # longer than a lease: its holder may have died


async def while_locked(
    renew: Callable[[], Awaitable[bool]], fence: Fence, work: Coroutine[Any, Any, T], every_s: float = RENEW_S
) -> T:
    """Do long work while renewing the lock. Raises LeaseLost if another process gets it."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=every_s))[0]:
            if not await renew():
                raise LeaseLost(fence)
        return await task
    finally:
        await tasks.stop([task])


class JobLocks:
    """The registry's locks for jobs that run on one of the instances that share a database.

    They only save work: the lease in the database decides, and every step is a compare-and-set, so that a
    holder that was paused changes nothing. An unreachable registry therefore stops no job. An instance
    without the database lease must release its lock.
    """

    def __init__(
        self, registry: Registry, database: str, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`database` keeps the locks of two databases apart: each has its own work."""
        self._registry = registry
        self._database = database
        self._monotonic_s = monotonic_s
        self._retry_at_s = float("-inf")
        self._leases: dict[str, RegistryLock] = {}

    async def acquire(self, job: str) -> bool:
        """Acquire or renew the lock; return whether this instance may run the job now."""
        lease = self._leases.get(job)
        if (lease is not None and lease.held()) or self._monotonic_s() < self._retry_at_s:
            return True
        try:
            if lease is not None:
                await lease.release()  # else our expired lock would block us until it ends
                del self._leases[job]
            lease = await self._registry.lock(f"{self._database}/{job}", LOCK_S)
        except RegistryUnavailable:
            self._retry_at_s = self._monotonic_s() + RETRY_S
            return True
        if lease is not None:
            self._leases[job] = lease
        return lease is not None

    def get(self, job: str) -> RegistryLock | None:
        """Return our lock of the job; None without one."""
        return self._leases.get(job)

    async def release(self, job: str) -> None:
        """Release the lock of this job."""
        if lease := self._leases.get(job):
            with suppress(RegistryUnavailable):  # it expires
                await lease.release()
            del self._leases[job]  # not before: `close` must release it if this is cancelled

    async def close(self) -> None:
        """Release all locks, so that other instances continue at once."""
        await asyncio.gather(*map(self.release, tuple(self._leases)))


def job_locks(core: Core) -> JobLocks:
    """Return the locks for jobs on its database."""
    return JobLocks(core.registry, database(core.settings.db.url))


async def hold(core: Core, locks: JobLocks, job: str) -> bool:
    """Acquire or renew lease and lock; return whether this process may run the job now."""
    return await core.store.leases.hold(job) and await locks.acquire(job)


async def wait_for_lock(core: Core, locks: JobLocks, job: str) -> bool:
    """Acquire lease and lock; return whether that succeeded within `WAIT_S`."""
    until = time.monotonic() + WAIT_S
    while not await hold(core, locks, job):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.5)
    return True


@contextmanager
def exclusive_job(settings: Settings, job: str) -> Iterator[None]:
    """Lock this job on a SQLite file; other databases have leases. Raises StoreInUse."""
    if not settings.db.url.startswith("sqlite:"):
        yield
        return
    lock = os.open(f"{sqlite_path(settings.db.url)}.{job}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        os.close(lock)
        raise StoreInUse(f"another {job} is running on this database") from taken
    try:
        yield
    finally:
        os.close(lock)
