"""A running order service: the core with its servers, jobs, registration and reload."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from shop_order import version
from shop_order.cmd.run.consumers import Consumers
from shop_order.cmd.run.jobs import Jobs
from shop_order.cmd.run.preflight import why_unavailable
from shop_order.cmd.run.registration import Registration
from shop_order.cmd.run.reloading import Reloading, record_settings
from shop_order.cmd.wiring.core import Core
from shop_order.cmd.wiring.from_settings import dev_token
from shop_order.cmd.wiring.gateways import channels_missing
from shop_order.cmd.wiring.servers import Servers
from shop_order.configs import Loaded
from shop_order.domain.errors import OrderServiceError
from shop_order.gateway.payment import CHANNELS
from shop_order.pkg.batching import SingleFlight
from shop_order.pkg.log import get_logger, log_failing
from shop_order.web.handler.health import DATABASE, Readiness

log = get_logger("app")
READINESS_EVERY_S = 2.0
PING_S = 0.5  # /readyz is public, and each call would query the database
PARTS = (
    *("database", "goods", "inventory", "users", "inboxes", "registry", "config", "order_log", "cache"),
    *(kind.code for kind in CHANNELS),
    *("message", "log", "grpc"),
)
"""Parts that can be missing, as `/readyz` names and orders them."""


class App:
    """The service between `start` and `stop`."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str] = os.environ) -> None:
        self.core = core = Core(loaded, token=dev_token(loaded.settings))
        self._servers = Servers(core, self._readiness)
        self._jobs = Jobs(core)
        self._registration = Registration(core.registry)
        self._reloading = Reloading(core, environ, record_settings)
        self._channel_problems: dict[str, str] = {}  # by channel, as last logged
        self._stopping = False
        self._consumers = Consumers(core)
        self._ping = SingleFlight(core.store.ping, PING_S)

    @property
    def grpc_port(self) -> int:
        """The port; 0 before the start."""
        return self._servers.grpc_port

    @property
    def http_port(self) -> int:
        """The port; 0 before the start."""
        return self._servers.http_port

    async def start(self) -> None:
        """Open the store, listen, and start the jobs; if a part fails, stop the others.

        Raises StoreInUse, SchemaMismatch, CannotListen, OSError.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self.core.open()
        await asyncio.to_thread(record_settings, self.core.loaded)
        if unused := self.core.loaded.unused:
            log.warning("settings_unused", unused=unused)
        if renamed := self.core.loaded.renamed:
            log.warning("settings_renamed", renamed=renamed)
        await self._servers.start()
        self._jobs.start()
        self._jobs.every("readiness", self._report_readiness, READINESS_EVERY_S)
        await self._consumers.open()
        self._reloading.start()
        if not self.core.settings.registry.url.startswith("none:"):
            server = self.core.settings.server
            host, tls = server.advertise_host or server.host, bool(server.tls_cert)
            self._registration.start(host, self.grpc_port, tls=tls)
        log.info(
            "started",
            version=version(),
            grpc_port=self.grpc_port,
            grpc_transport=self._servers.grpc.transport,
            http_port=self.http_port,
            env=self.core.settings.app.env,
        )

    async def stop(self) -> None:
        """Report "not ready", wait for load balancers to notice, and finish accepted requests.

        Refuses new calls, waits for running ones, drains the outbox, and closes files.
        """
        self._stopping = True
        self._servers.grpc.report(serving=False)
        await self._registration.stop()
        await self._reloading.stop()
        if self.http_port:
            await asyncio.sleep(self.core.settings.server.stop_wait_s)
        grace_s = self.core.settings.server.stop_timeout_s
        await self._servers.stop(grace_s)
        await self._jobs.stop()
        await self._consumers.close()
        if self.http_port and not self.core.publisher.brokered and await self._holds_relay():
            await self.core.relay.drain(deadline_s=min(grace_s, 5.0))
        await self.core.close()
        log.info("stopped")

    async def _holds_relay(self) -> bool:
        try:
            return await self.core.store.leases.hold("relay")
        except OrderServiceError:
            return False

    def reload(self) -> None:
        """Request a reload of the settings; an invalid configuration is refused."""
        self._reloading.hint()

    async def _readiness(self) -> Readiness:
        try:
            await self._ping()
            writable = not self.core.store.write_error
        except OrderServiceError:
            writable = False
        if not writable:
            return Readiness(False, (DATABASE,))
        return Readiness(not self._stopping, self._missing())

    def _missing(self) -> tuple[str, ...]:
        """Return the parts that are missing now."""
        core = self.core
        states = {
            "registry": self._registration.unreachable,
            "config": bool(self._reloading.trouble),
            "order_log": core.order_log.unavailable,
            "cache": not core.shared.cache.up,
            "message": not self._consumers.connected,
            "log": log_failing(),
            "grpc": self._servers.pools.full,
        }
        missing = [name for name, is_missing in states.items() if is_missing]
        missing += [*core.neighbours.unreachable(), *channels_missing(core.channels)]
        return tuple(sorted(missing, key=PARTS.index))

    async def _report_readiness(self) -> None:
        readiness = await self._readiness()
        self.core.metrics.set_degraded(PARTS, readiness.missing)
        self.core.metrics.set_grpc_calls(self._servers.pools.taken())
        if not self._stopping:
            self._servers.grpc.report(serving=readiness.serving)
        for code in (kind.code for kind in CHANNELS):
            why = ""
            if code in readiness.missing:
                why = await asyncio.to_thread(why_unavailable, self.core.settings, code)
            if why and why != self._channel_problems.get(code):
                log.error("channel_unavailable", channel=code, why=why)
            self._channel_problems[code] = why
