"""`shop-order relay`: publish the outbox to the broker until a signal asks to stop. One at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from shop_order.cmd.run.bootstrap import log_to_files
from shop_order.cmd.run.job_locks import exclusive_job
from shop_order.cmd.run.jobs import Jobs
from shop_order.cmd.run.reloading import Reloading
from shop_order.cmd.run.signals import Signals
from shop_order.cmd.wiring.core import Core
from shop_order.cmd.wiring.from_settings import dev_token
from shop_order.configs import Loaded, Settings
from shop_order.domain.errors import OrderServiceError
from shop_order.pkg.http.server import HttpServer, metrics_app
from shop_order.pkg.log import get_logger
from shop_order.pkg.message import BrokerUnavailable
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin

log = get_logger("relay")
DRAIN_S = 5.0
DEAD_LETTERS_EVERY_S = 15.0


async def relay_until_stopped(loaded: Loaded) -> int:
    """Publish, and return the exit code; wait for an unavailable broker. Raises what refuses a start."""
    signals = Signals()
    settings = separate_log(loaded.settings)
    with log_to_files(settings), exclusive_job(settings, "relay"):
        await _relay(Core(loaded, token=dev_token(settings)), signals)
    return signals.finish()


async def _relay(core: Core, signals: Signals) -> None:
    jobs = Jobs(core)
    reloading = Reloading(core, os.environ, record=lambda loaded: None)  # `serve` records them
    signals.reload_by(reloading.hint)

    async def begin() -> None:
        await core.open(serve=False)
        await core.publisher.open()

    async def count_dead_letters() -> None:
        for group, count in (await dead_letters(core.settings.message.url)).items():
            core.metrics.dead_letters.labels(group).set(count)

    async def drain() -> None:
        with suppress(OrderServiceError):  # the rest stays in the outbox
            if await core.store.leases.hold("relay"):
                await core.relay.drain(DRAIN_S)

    port = core.settings.message.relay_port
    metrics = HttpServer(metrics_app(core.metrics.text), host=core.settings.server.host, port=port)
    async with AsyncExitStack() as at_stop:  # the last one first
        at_stop.callback(log.info, "stopped")
        at_stop.push_async_callback(core.close)
        at_stop.push_async_callback(core.publisher.close)
        at_stop.push_async_callback(metrics.stop, 1)
        if not await signals.unless_stopped(begin()):
            return
        if port:
            await metrics.start()
        at_stop.push_async_callback(drain)
        at_stop.push_async_callback(jobs.stop)
        at_stop.push_async_callback(reloading.stop)
        jobs.start_relay()
        jobs.start_lag()
        reloading.start()
        jobs.every("dead_letters", count_dead_letters, DEAD_LETTERS_EVERY_S)
        log.info("started", metrics_port=port)
        await signals.stop.wait()


def separate_log(settings: Settings) -> Settings:
    """Return settings with a log file of its own: two processes must not rotate the same file."""
    if not settings.log.filename:
        return settings
    path = Path(settings.log.filename)
    mine = settings.log.model_copy(update={"filename": str(path.with_name(f"relay.{path.name}"))})
    return settings.model_copy(update={"log": mine})


async def dead_letters(url: str) -> Mapping[str, int]:
    """Count the dead letters of each consumer group; empty while no broker is available.

    Raises Refused.
    """
    address = parse(url)
    try:
        return await Admin(address.namesrv).dead_letters(address) if address.namesrv else {}
    except BrokerUnavailable:
        return {}  # the relay logs it
