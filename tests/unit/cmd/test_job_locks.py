"""Who does a job where several could: the database's lease decides, the registry's lock only saves work."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from shop_order.cmd.run.job_locks import RETRY_S, JobLocks
from shop_order.cmd.run.jobs import Jobs
from shop_order.cmd.wiring.core import Core
from shop_order.domain.ports import Fence, LeaseLost
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.registry import Registry, RegistryUnavailable
from shop_order.pkg.registry.none import LocalLock, NoRegistry


class Instance:
    """Its jobs, beside others on one database, whose lease of every job `holder` has, and one registry."""

    holder = ""

    def __init__(self, name: str, registry: Registry) -> None:
        self.name = name
        self.published = 0
        self.relay = SimpleNamespace(run_once=self._publish, wait=lambda: asyncio.sleep(0), has_more=bool)
        store = SimpleNamespace(leases=SimpleNamespace(hold=self._hold))
        self.metrics = Metrics()
        core = SimpleNamespace(
            relay=self.relay,
            registry=registry,
            store=store,
            metrics=self.metrics,
            tracing=None,
            settings=SimpleNamespace(db=SimpleNamespace(url="mysql://app:app@db:3306/shop")),
        )
        self.jobs = Jobs(cast(Core, core))

    async def _hold(self, job: str) -> bool:
        return Instance.holder == self.name

    async def _publish(self) -> int:
        self.published += 1
        return 0

    async def publishes(self) -> bool:
        """Whether it does its job, now that all had their turn."""
        await asyncio.sleep(0.02)
        before = self.published
        await asyncio.sleep(0.02)
        return self.published > before


async def test_who_lost_the_database_s_lease_leaves_the_registry_s_lock_to_who_has_it() -> None:
    registry = NoRegistry()
    one, other = Instance("one", registry), Instance("other", registry)
    for instance in (one, other):
        instance.jobs.start_relay()
    try:
        for holder, idle in ((one, other), (other, one), (one, other)):
            Instance.holder = holder.name  # as when a step took longer than a lease lasts
            assert await holder.publishes(), "nobody does the job"
            assert not await idle.publishes()
    finally:
        for instance in (one, other):
            await instance.jobs.stop()


class Gone(NoRegistry):
    """A registry that does not answer while it is away."""

    away = False
    asked = 0

    async def lock(self, name: str, ttl_s: float) -> LocalLock | None:
        self.asked += 1
        if self.away:
            raise RegistryUnavailable("nobody answers")
        return await super().lock(name, ttl_s)


async def test_a_registry_that_does_not_answer_is_not_waited_for_at_every_step() -> None:
    registry, now_s = Gone(), [0.0]
    registry.away = True
    turns = JobLocks(registry, "shop", lambda: now_s[0])
    assert [await turns.acquire(job) for job in ("relay", "relay", "refund")] == [True] * 3
    assert registry.asked == 1
    registry.away = False
    now_s[0] += RETRY_S
    assert await turns.acquire("relay")
    assert not await JobLocks(registry, "shop").acquire("relay")


async def test_the_job_of_one_database_does_not_keep_that_of_another_from_running() -> None:
    registry = NoRegistry()
    one, same, other = (JobLocks(registry, database) for database in ("shop@a", "shop@a", "shop@b"))
    assert await one.acquire("relay")
    assert not await same.acquire("relay")
    assert await other.acquire("relay")


async def test_a_release_that_was_cancelled_is_repeated_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry, begun = NoRegistry(), asyncio.Event()
    locks = JobLocks(registry, "shop")
    assert await locks.acquire("relay")

    async def slow(_lock: LocalLock) -> None:
        begun.set()
        await asyncio.sleep(60)

    with monkeypatch.context() as stopped_meanwhile:
        stopped_meanwhile.setattr(LocalLock, "release", slow)
        releasing = asyncio.create_task(locks.release("relay"))
        await begun.wait()
        releasing.cancel()
        await asyncio.wait({releasing})
    await locks.close()
    assert await JobLocks(registry, "shop").acquire("relay")


async def test_a_job_that_is_another_s_by_now_did_not_fail() -> None:
    Instance.holder = "one"
    one = Instance("one", NoRegistry())
    lost = asyncio.Event()

    async def refused() -> int:
        lost.set()
        raise LeaseLost(Fence("relay", 1))

    one.relay.run_once = refused
    one.jobs.start_relay()
    await asyncio.wait_for(lost.wait(), 1)
    await asyncio.sleep(0)
    await one.jobs.stop()
    text = one.metrics.text().decode()
    assert 'shop_order_job_runs_total{name="relay",outcome="failed"} 0.0' in text
    assert 'shop_order_job_runs_total{name="relay",outcome="ok"} 0.0' not in text
