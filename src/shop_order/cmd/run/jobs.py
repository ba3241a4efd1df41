"""Background jobs: each repeats one bounded step until the stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from shop_order.cmd.run.job_locks import hold, job_locks, while_locked
from shop_order.cmd.wiring.core import Core, real_ms
from shop_order.cmd.wiring.roots import witness
from shop_order.domain.ports import LeaseLost
from shop_order.pkg import tasks
from shop_order.pkg.log import get_logger
from shop_order.service.upkeep.daily_root import JOB as DAILY_ROOT
from shop_order.service.upkeep.reconcile import JOB as RECONCILE

log = get_logger("jobs")
FAILED_PAUSE_S = 1.0
MAX_PAUSE_S = 5.0  # so that jobs continue soon after an outage
PURGE_EVERY_S = 60.0
WORKER_ID_EVERY_S = 5.0
CLOCK_EVERY_S = 1.0
LAG_EVERY_S = 2.0
BACKLOG_EVERY_S = 10.0
ROOT_LAG_EVERY_S = 10.0
RECONCILIATION_EVERY_S = 60.0
Step = Callable[[], Awaitable[int | None]]  # how many items it processed
Pause = Callable[[], Awaitable[None]]
HasMore = Callable[[int], bool]  # whether to continue without a pause after so many items


def never_more(done: int) -> bool:
    """Say that there is no more work, so that the job pauses after every step."""
    return False


class Jobs:
    """The loops of one application."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._locks = job_locks(core)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all jobs of `serve`."""
        core, settings, orders = self._core, self._core.settings, self._core.store.orders
        self.every("worker", lambda: core.ids.renew(core.store), WORKER_ID_EVERY_S)
        if settings.app.env != "production" and not settings.db.url.startswith("sqlite:"):
            self.every("clock", core.clock.load, CLOCK_EVERY_S)

        def scan_pause() -> Awaitable[None]:
            return asyncio.sleep(core.settings.order.scan_interval_s)

        def purge_pause() -> Awaitable[None]:
            return asyncio.sleep(PURGE_EVERY_S)

        if not core.publisher.brokered:  # else `shop-order relay` does it
            self.start_relay()
        self._on_one_instance("timeout", core.timeouts.run_once, scan_pause, core.timeouts.has_more)
        self._on_one_instance("ask", core.settlement.query_due, scan_pause)
        self._on_one_instance("refund", core.settlement.refund_due, scan_pause)
        approval = core.auto_approval
        self._on_one_instance("refund_approval", approval.run_once, scan_pause, approval.has_more)
        self._on_one_instance("purge", lambda: orders.purge_keys(real_ms()), purge_pause)
        self._on_one_instance("tombstones", lambda: orders.purge_tombstones(real_ms()), purge_pause)
        self._on_one_instance("order_log", core.order_log.run_once, core.order_log.wait, never_more)
        self._on_one_instance("order_log_retention", core.order_log.purge, purge_pause)
        self._loop("archive", self._archive, core.archive.wait, never_more)
        self._on_one_instance(DAILY_ROOT, self._seal_days, core.daily_root.wait, never_more)
        self.every("root_lag", self._measure_root_lag, ROOT_LAG_EVERY_S)
        self._loop(RECONCILE, self._reconcile, core.reconciliation.wait)
        self.every("reconciled", self._measure_reconciliation, RECONCILIATION_EVERY_S)
        self.every("behind", self._measure_backlog, BACKLOG_EVERY_S)
        self.start_lag()

    def every(self, name: str, step: Step, pause_s: float) -> None:
        """Start a job that every instance runs."""
        self._loop(name, step, lambda: asyncio.sleep(pause_s))

    def start_relay(self) -> None:
        """Start the relay of the outbox."""
        relay = self._core.relay
        self._on_one_instance("relay", relay.run_once, relay.wait, relay.has_more)

    def start_lag(self) -> None:
        """Start measuring the backlog of outbox and order log."""

        def pause() -> Awaitable[None]:
            return asyncio.sleep(min(self._core.settings.order.scan_interval_s, LAG_EVERY_S))

        self._loop("lag", self._measure_lag, pause)

    async def stop(self) -> None:
        """Cancel the jobs; every step can be interrupted."""
        await tasks.stop(self._tasks)
        await self._locks.close()

    def _on_one_instance(self, name: str, step: Step, pause: Pause, more: HasMore = bool) -> None:
        """Start a job that runs on one of the instances that share a database."""

        async def step_if_held() -> int:
            if not await self._holds(name):
                return 0
            try:
                return await step() or 0
            except LeaseLost as lost:
                log.info("job_left_to_another", job=name, why=str(lost))
                return 0

        self._loop(name, step_if_held, pause, more)

    async def _holds(self, name: str) -> bool:
        if await self._core.store.leases.hold(name):
            held = await self._locks.acquire(name)
        else:
            held = False
            await self._locks.release(name)
        self._core.metrics.job_held.labels(name).set(int(held))
        return held

    def _loop(self, name: str, step: Step, pause: Pause, more: HasMore = bool) -> None:
        self._core.metrics.register_job(name)
        self._tasks.append(asyncio.create_task(self._run(name, step, pause, more), name=name))

    async def _run(self, name: str, step: Step, pause: Pause, more: HasMore) -> None:
        failures = 0
        while True:
            started_ns = time.time_ns()
            try:
                done = await step() or 0
            except Exception as failed:
                failures += 1
                self._core.metrics.job_runs.labels(name, "failed").inc()
                log.error("job_failed", job=name, error=repr(failed), exc_info=failures == 1)
                await asyncio.sleep(min(FAILED_PAUSE_S * failures, MAX_PAUSE_S))
                continue
            failures = 0
            self._core.metrics.job_runs.labels(name, "ok").inc()
            if done and self._core.tracing is not None:
                self._core.tracing.record(f"job {name}", started_ns, {"shop.job": name, "shop.done": done})
            if not more(done):
                await pause()

    async def _archive(self) -> int:
        archive, archived = self._core.archive, 0
        if archive.is_enabled and await self._holds("archive"):
            archived = await archive.step()
            if archive.is_idle:
                await self._locks.release("archive")  # for `shop-order archive`
        return archived

    async def _seal_days(self) -> int:
        core, lease = self._core, self._locks.get(DAILY_ROOT)
        registry = witness(core.settings, core.registry, lease) if lease is not None else None
        return await core.daily_root.step(core.store.leases.fence(DAILY_ROOT), registry)

    async def _measure_root_lag(self) -> None:
        self._core.metrics.roots_behind.set(await self._core.daily_root.lag_ms() / 1000)

    async def _reconcile(self) -> int:
        core = self._core

        async def acquire() -> bool:
            return await hold(core, self._locks, RECONCILE)

        if not await core.reconciliation.due() or not await acquire():
            return 0
        try:
            return await while_locked(acquire, core.store.leases.fence(RECONCILE), core.reconciliation.step())
        except LeaseLost as lost:
            log.info("job_left_to_another", job=RECONCILE, why=str(lost))
            return 0
        finally:
            await self._locks.release(RECONCILE)  # for `shop-order reconcile`

    async def _measure_reconciliation(self) -> None:
        for channel, age_s, differences in await self._core.reconciliation.lag():
            self._core.metrics.set_reconciliation(channel.code, age_s, differences)

    async def _measure_backlog(self) -> None:
        now_ms = self._core.clock()
        for one in await self._core.store.backlog.overdue(now_ms):
            oldest_s = (now_ms - one.since_ms) / 1000 if one.count else 0.0
            self._core.metrics.set_overdue(one.what, one.count, oldest_s)

    async def _measure_lag(self) -> None:
        core = self._core
        for measured, report in (
            (core.store.outbox, core.metrics.outbox),
            (core.store.feed, core.metrics.order_log),
        ):
            waiting, oldest_ms = await measured.lag()
            report(waiting, (core.clock() - oldest_ms) / 1000 if waiting else 0.0)
