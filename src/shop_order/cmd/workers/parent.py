"""`shop-order serve` with several workers: the parent serves nobody, and answers for all of them.

It holds the ports, is registered, listens for changed settings, writes the log and starts again who ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from shop_order.cmd.opening import open_log, remember
from shop_order.cmd.presence import Presence
from shop_order.cmd.private import close_to_others
from shop_order.cmd.reloading import Reloading
from shop_order.cmd.signals import Signals
from shop_order.cmd.workers.counting import metrics_folder
from shop_order.cmd.workers.crew import Crew
from shop_order.cmd.workers.process import Worker, spawn
from shop_order.cmd.workers.talk import name_of
from shop_order.configs import Loaded, Settings
from shop_order.configs.handover import to_text
from shop_order.pkg.listening import hold, listen
from shop_order.pkg.log import get_logger, log_failing
from shop_order.pkg.metrics import InstanceMetrics, gone, share
from shop_order.pkg.registry import open_registry

log = get_logger("workers")
FORCED = 1


async def serve_by_workers(loaded: Loaded) -> int:
    """Serve until a signal says stop; the exit code. Raises what refuses a start."""
    signals = Signals()
    logging = open_log(loaded.settings)
    server = loaded.settings.server
    try:
        close_to_others(loaded.settings)
        with (
            listen(server.host, server.http_port) as listener,
            hold(server.host, server.grpc_port) as held,
            metrics_folder(Path(loaded.settings.data_dir)) as folder,
        ):
            share(folder, "parent")
            code = await Parent(loaded, os.environ, listener, held).run(signals)
    finally:
        logging.close()
    return signals.over(code)


class Parent:
    """See `serve_by_workers`."""

    def __init__(
        self, loaded: Loaded, environ: Mapping[str, str], listener: socket.socket, held: socket.socket
    ) -> None:
        self.metrics = InstanceMetrics()
        self._loaded = loaded
        self._listener = listener
        self._grpc_port = int(held.getsockname()[1])
        self._registry = open_registry(loaded.settings.registry.url)
        self._presence = Presence(self._registry)
        self._reloading = Reloading(self, environ, remember)
        self._stop = asyncio.Event()
        self._crew = Crew(
            loaded.settings.server.workers,
            spawn=self._spawn,
            settings=lambda: to_text(self.settings),
            missing=self._missing,
            ended=self._worker_ended,
        )

    @property
    def loaded(self) -> Loaded:
        """The settings as they are now; whoever changes them changes them for every worker."""
        return self._loaded

    @loaded.setter
    def loaded(self, loaded: Loaded) -> None:
        changed = loaded.settings != self._loaded.settings
        self._loaded = loaded
        if changed:
            self._crew.tell_settings()

    @property
    def settings(self) -> Settings:
        """Those of `loaded`."""
        return self._loaded.settings

    async def run(self, before: Signals) -> int:
        """Serve until a signal, or one that came `before`; the exit code. Raises StartRefused, OSError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.hint)
        if before.stop.is_set():
            self._told_to_stop()
        try:
            if not await self._started():
                return 0
            await self._stop.wait()
            return 0 if await self._leave() else FORCED
        finally:
            await self._crew.stop(0.0)
            await self._registry.aclose()
            log.info("parent_stopped")

    def _told_to_stop(self) -> None:
        self._stop.set()
        self._crew.leave()

    async def _started(self) -> bool:
        """Whether all serve, and nobody said stop before. Raises StartRefused, OSError."""
        starting = asyncio.create_task(self._crew.start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return False
        starting.result()
        await asyncio.to_thread(remember, self.loaded)
        self._reloading.start()
        self._presence.begin_as(self.settings, self._grpc_port)
        http_port = self._listener.getsockname()[1]
        workers = self.settings.server.workers
        log.info("parent_started", grpc_port=self._grpc_port, http_port=http_port, workers=workers)
        return True

    async def _leave(self) -> bool:
        """Say that nobody should call us, wait until that was noticed, finish; whether that went well."""
        self._crew.leave()
        await self._presence.end()
        await self._reloading.stop()
        await asyncio.sleep(self.settings.server.stop_wait_s)
        self._listener.close()
        return await self._crew.stop(self.settings.server.stop_timeout_s)

    async def _spawn(self, number: int) -> Worker:
        return await spawn(number, self._listener, self._grpc_port)

    def _missing(self) -> list[str]:
        missing = ["registry"] if self._presence.away else []
        missing += ["log"] if log_failing() else []
        return [*missing, "config"] if self._reloading.trouble else missing

    def _worker_ended(self, number: int, how: str) -> None:
        gone(name_of(number))
        self.metrics.worker_ended(how)
