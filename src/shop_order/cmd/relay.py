"""`shop-order relay`: publishes the outbox to the broker until a signal says stop. One at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shop_order.cmd.app import dev_token
from shop_order.cmd.core import Core
from shop_order.cmd.jobs import Jobs
from shop_order.cmd.opening import open_log
from shop_order.cmd.private import close_to_others
from shop_order.cmd.reloading import Reloading
from shop_order.cmd.signals import Signals
from shop_order.cmd.topics import dead_letters
from shop_order.configs import Loaded, Settings
from shop_order.configs.engines import sqlite_path
from shop_order.domain.errors import OrderServiceError
from shop_order.pkg.http.server import HttpServer, metrics_app
from shop_order.pkg.log import get_logger
from shop_order.repository.dao.store import StoreTaken

log = get_logger("relay")
DRAIN_S = 5.0
DEAD_LETTERS_EVERY_S = 15.0


async def relay_until_stopped(loaded: Loaded) -> int:
    """Publish; the exit code. A broker that is away is waited for. Raises what refuses a start."""
    signals = Signals()
    settings = own_log(loaded.settings)
    logging = open_log(settings)
    try:
        close_to_others(settings)
        with only_one(settings, "relay"):
            await _relay(Core(loaded, token=dev_token(settings)), signals)
    finally:
        logging.close()
    return signals.over()


async def _relay(core: Core, signals: Signals) -> None:
    jobs = Jobs(core)
    reloading = Reloading(core, os.environ, remember=lambda loaded: None)  # who serves remembers it
    signals.reload_by(reloading.hint)

    async def begin() -> None:
        await core.open(serve=False)
        await core.publisher.open()

    async def count_dead_letters() -> int:
        for group, count in (await dead_letters(core.settings.message.url)).items():
            core.metrics.dead_letters(group, count)
        return 0

    port = core.settings.message.relay_port
    metrics = HttpServer(metrics_app(core.metrics.text), host=core.settings.server.host, port=port)
    try:
        if not await signals.unless_stopped(begin()):
            return
        if port:
            await metrics.start()
        jobs.start_relay()
        jobs.start_lag()
        reloading.start()
        jobs.every("dead_letters", count_dead_letters, DEAD_LETTERS_EVERY_S)
        log.info("started", metrics_port=port)
        await signals.stop.wait()
        await reloading.stop()
        await jobs.stop()
        with suppress(OrderServiceError):  # what is left waits in the outbox
            if await core.store.leases.hold("relay"):
                await core.relay.drain(DRAIN_S)
    finally:
        await reloading.stop()
        await jobs.stop()
        await metrics.stop(1)
        await core.publisher.close()
        await core.close()
        log.info("stopped")


def own_log(settings: Settings) -> Settings:
    """A log file of our own beside the service's: two processes must not rotate one file."""
    if not settings.log.filename:
        return settings
    path = Path(settings.log.filename)
    mine = settings.log.model_copy(update={"filename": str(path.with_name(f"relay.{path.name}"))})
    return settings.model_copy(update={"log": mine})


@contextmanager
def only_one(settings: Settings, job: str) -> Iterator[None]:
    """Do this job alone on a database file; a shared server has leases for that. Raises StoreTaken."""
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
