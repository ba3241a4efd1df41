"""Applies changed settings at run time: a new immutable object replaces the current one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from shop_order.cmd.wiring.core import Core, real_ms
from shop_order.configs import ConfigError, Loaded, reload
from shop_order.configs.history import record
from shop_order.configs.sources import SharedSource, SourceUnavailable, shared_sources
from shop_order.pkg import tasks
from shop_order.pkg.log import get_logger, set_level
from shop_order.repository.history import open_history

log = get_logger("config")
POLL_EVERY_S = 30.0  # in case a push is lost
RETRY_S = 3.0  # while a shared source is unreachable or its settings are refused
WATCH_RETRY_S = 3.0


class Reloading:
    """Reloads on a hint: a signal, or a change in a shared source."""

    def __init__(self, core: Core, environ: Mapping[str, str], record: Callable[[Loaded], None]) -> None:
        self._core = core
        self._environ = environ
        self._record = record
        self._hinted = asyncio.Event()
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: tuple[str, ...] = ()  # settings that need a restart, logged once
        self.trouble = "; ".join(core.loaded.notes)

    def start(self) -> None:
        """Start waiting for hints."""
        settings = self._core.settings
        if self.trouble:
            log.error("config_degraded", why=self.trouble)
            self._core.metrics.config_loads.labels("copy").inc()
        sources = shared_sources(settings.config.url, settings.registry.url)
        self._tasks = [asyncio.create_task(self._watch(source)) for source in sources]
        self._tasks.append(asyncio.create_task(self._follow(polls=bool(sources))))

    async def stop(self) -> None:
        """Stop waiting for hints."""
        await tasks.stop(self._tasks)

    def hint(self) -> None:
        """Reload soon if something changed."""
        self._hinted.set()

    async def reload(self) -> None:
        """Apply the reloadable settings that changed. Raises ConfigError and changes nothing."""
        async with self._lock:
            reloaded = await asyncio.to_thread(reload, self._core.loaded, self._environ)
            self._core.loaded = reloaded.loaded
            set_level(reloaded.loaded.settings.log.level)
            if reloaded.loaded.notes:
                self._failed("away", "; ".join(reloaded.loaded.notes))
            else:
                self.trouble = ""
            self._core.metrics.config_loads.labels("applied" if reloaded.applied else "unchanged").inc()
            if reloaded.applied:
                await asyncio.to_thread(self._record, reloaded.loaded)
            if reloaded.applied or reloaded.needs_restart != self._waiting:
                log.warning("reloaded", applied=reloaded.applied, needs_restart=reloaded.needs_restart)
            self._waiting = reloaded.needs_restart

    async def _follow(self, *, polls: bool) -> None:
        while True:
            pause_s = (RETRY_S if self.trouble else POLL_EVERY_S) if polls else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._hinted.wait()
            self._hinted.clear()
            try:
                await self.reload()
            except SourceUnavailable as unavailable:
                self._failed("away", str(unavailable))
            except ConfigError as bad:
                self._failed("refused", str(bad))
            except Exception as failed:  # noqa: BLE001 - a background loop
                self._failed("failed", repr(failed))

    def _failed(self, outcome: str, why: str) -> None:
        if why == self.trouble:
            return  # logged already
        self.trouble = why
        self._core.metrics.config_loads.labels(outcome).inc()
        log.error(f"reload_{outcome}", error=why)

    async def _watch(self, source: SharedSource) -> None:
        folder = Path(self._core.settings.data_dir) / "config" / source.kind
        while True:
            try:
                await source.watch(self.hint, folder)
            except Exception as failed:  # noqa: BLE001 - a background loop
                log.error("config_watch_failed", source=source.kind, error=repr(failed))
            await asyncio.sleep(WATCH_RETRY_S)


def record_settings(loaded: Loaded) -> None:
    """Add accepted settings to the history in the order database. Raises OSError if it can't be written."""
    try:
        with open_history(loaded.settings.db.url, writes=True) as records:
            record(records, loaded, real_ms())
    except OSError as full:
        raise OSError(f"the order database can't be written: {full}") from full
