"""A cancellation that comes just when the wait is over is not lost: a task must not outlive its stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import grpc.aio
import pytest

from shop_order.cmd.run.jobs import Jobs
from shop_order.cmd.run.reloading import Reloading
from shop_order.cmd.wiring.core import Core
from shop_order.pkg import tasks
from shop_order.pkg.grpc import admission
from shop_order.pkg.grpc.balancer import BalancedChannel
from shop_order.pkg.message import TIMEOUTS
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.consumer import RocketConsumer
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.redis.connection import RedisConnection
from shop_order.pkg.registry.consul import Consul, ConsulLock
from shop_order.pkg.registry.none import NoRegistry
from shop_sandbox.payments.tasks import background
from shop_sandbox.server import _cancel

Work = Coroutine[Any, Any, object]
TURNS = 8
SQLITE = SimpleNamespace(db=SimpleNamespace(url="sqlite:///order.db"))


async def a_turn(*_: object, **__: object) -> None:
    await asyncio.sleep(0)


def endless() -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.sleep(60))


def follow_settings() -> tuple[Work, Callable[[], None]]:
    reloading = Reloading(cast(Core, SimpleNamespace(loaded=SimpleNamespace(notes=()))), {}, lambda _: None)
    reloading.reload = a_turn  # type: ignore[method-assign]
    return reloading._follow(polls=True), reloading.hint


def wait_for_instances() -> tuple[Work, Callable[[], None]]:
    channel = BalancedChannel("goods", grpc.aio.insecure_channel, grace_s=1)
    return channel.candidates(5), lambda: channel.use(())


def wait_for_calls() -> tuple[Work, Callable[[], None]]:
    gate = admission.Gate({})
    gate._running = 1
    return gate.close(5), gate._idle.set


@pytest.mark.parametrize("waiting", [follow_settings, wait_for_instances, wait_for_calls])
@pytest.mark.parametrize("turns", range(TURNS))
async def test_who_waits_ends_even_if_it_comes_in_the_same_moment(
    waiting: Callable[[], tuple[Work, Callable[[], None]]], turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_HAND_OVER_S", 0.0)
    work, happens = waiting()
    task = asyncio.create_task(work)
    for _ in range(TURNS):  # until it waits
        await asyncio.sleep(0)
    happens()
    await ends_when_cancelled_after(turns, task)


def release_a_lock() -> Work:
    consul = Consul("consul://127.0.0.1:9")
    consul.request = a_turn  # type: ignore[method-assign, assignment]
    lock = ConsulLock(consul, "job", 10, lambda: 0.0)
    lock._renewing = endless()
    return lock.release()


def close_redis() -> Work:
    connection = RedisConnection(lambda _: cast(Any, SimpleNamespace(close=a_turn)))
    connection._probe = endless()
    return connection.close()


def close_a_consumer() -> Work:
    address = parse("rocketmq://127.0.0.1:9")
    consumer = RocketConsumer(address, cast(Any, None), group=TIMEOUTS, topic="t", tags=())
    consumer._task = endless()
    return consumer.close()


async def leave_a_block() -> None:
    async with background(asyncio.sleep(60), "sleeps"):
        await asyncio.sleep(0)


def stop_a_task() -> Work:
    return _cancel(endless())


@pytest.mark.parametrize(
    "stopping", [release_a_lock, close_redis, close_a_consumer, leave_a_block, stop_a_task]
)
@pytest.mark.parametrize("turns", range(TURNS))
async def test_who_stops_a_task_can_be_cancelled(stopping: Callable[[], Work], turns: int) -> None:
    await ends_when_cancelled_after(turns, asyncio.create_task(stopping()))


async def ends_when_cancelled_after(turns: int, task: asyncio.Task[object]) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():  # else it had ended
        await asyncio.wait({task}, timeout=0.2)
        assert task.cancelled()
    elif not task.cancelled():
        task.exception()


async def test_a_job_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    lost: list[str] = []

    async def step() -> int:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        lost.append("as a driver does whose response came in the same moment")
        return 0

    core = SimpleNamespace(registry=NoRegistry(), metrics=Metrics(), tracing=None, settings=SQLITE)
    jobs = Jobs(cast(Core, core))
    jobs.every("relay", step, 60)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await jobs.stop()
    assert len(lost) == 1
