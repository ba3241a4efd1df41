"""The application: the core with its fronts and jobs. The only place that wires parts together."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress

from shop_order.cmd.core import Core
from shop_order.cmd.jobs import Jobs
from shop_order.cmd.observing import processing
from shop_order.cmd.opening import remember
from shop_order.cmd.places import places
from shop_order.cmd.presence import Presence
from shop_order.cmd.reloading import Reloading
from shop_order.cmd.usable import why_alipay_is_missing
from shop_order.configs import Loaded, Settings
from shop_order.domain.errors import Kind, OrderNotFound, OrderServiceError
from shop_order.domain.valueobject.actor import Role
from shop_order.pkg.address import joined, reachable
from shop_order.pkg.grpc.client import TokenSource
from shop_order.pkg.grpc.server import ServerTls
from shop_order.pkg.http.server import HttpServer
from shop_order.pkg.log import get_logger, log_failing
from shop_order.pkg.message import Delivery, open_consumer
from shop_order.pkg.message.base import ORDER_TIMEOUTS, TIMEOUTS
from shop_order.pkg.sharing import Shared
from shop_order.pkg.version import version
from shop_order.web.auth.keys import DevKey, Jwks, KeySource
from shop_order.web.auth.limits import RateLimits, Rates
from shop_order.web.auth.refusals import REASONS, RefusedTokens
from shop_order.web.auth.tokens import Authenticator, TokenRules, mint_token
from shop_order.web.cashier import CashierLinks
from shop_order.web.dto.wire import Cursors
from shop_order.web.grpc.chain import Front
from shop_order.web.grpc.occupancy import Pools
from shop_order.web.grpc.server import GrpcServices, GrpcSettings, build_server
from shop_order.web.handler.health import DATABASE, Readiness
from shop_order.web.http import HttpParts, HttpSettings, build_http
from shop_order.web.middleware.client_address import networks

log = get_logger("app")
DEV_TOKEN_S = 3600
TELL_EVERY_S = 2.0
PING_S = 0.5  # anybody may ask whether we are ready, and each time the database would be asked
PARTS = (
    "database",
    "goods",
    "inventory",
    "users",
    "inboxes",
    "registry",
    "config",
    "order_log",
    "cache",
    "alipay",
    "message",
    "log",
    "grpc",
)
"""What can be missing, as `/readyz` names it."""
PASSING = (Kind.UNAVAILABLE, Kind.DEADLINE, Kind.EXHAUSTED, Kind.CONFLICT)


class App:
    """One running order service: `start`, `stop`, and the ports it got."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str] = os.environ) -> None:
        settings = loaded.settings
        self.core = Core(loaded, token=dev_token(settings))
        self.grpc_port = 0
        self.http_port = 0
        self._jobs = Jobs(self.core)
        self._presence = Presence(self.core.registry)
        self._reloading = Reloading(self.core, environ, remember)
        self._told = ""  # why a channel is unavailable
        self._stopping = False
        self._keys = self._key_source(settings)
        self._refresh: asyncio.Task[None] | None = None
        self._run_out = open_consumer(
            settings.message.url, self._order_ran_out, group=TIMEOUTS, topic=ORDER_TIMEOUTS
        )
        self._ping = Shared(self.core.store.ping, PING_S)
        self._fronts(settings)

    def _key_source(self, settings: Settings) -> KeySource:
        if settings.auth.jwks:
            return Jwks(settings.auth.jwks)
        if settings.auth.hs256_key is None:
            raise ValueError("neither AUTH__JWKS nor AUTH__HS256_KEY is set")
        return DevKey(settings.auth.hs256_key.get_secret_value())

    def _authenticator(self, settings: Settings) -> Authenticator:
        core = self.core
        return Authenticator(
            self._keys,
            TokenRules(settings.auth.issuer, settings.auth.audience, settings.auth.max_lifetime_s),
            revoked=core.shared.revocations,
            on_refusal=RefusedTokens(get_logger("auth"), core.metrics.tokens_refused(REASONS)),
        )

    def _fronts(self, settings: Settings) -> None:
        core = self.core
        signer = core.shared.signer
        links = CashierLinks(signer, public_url=self._public_url)
        cursors = Cursors(signer)
        authenticator = self._authenticator(settings)
        limits = RateLimits(core.shared.limiter, self._rates)
        trusted = networks(settings.server.trusted_proxies)
        self._pools = Pools(lambda: core.settings.limit, trusted)
        front = Front(
            log=get_logger("grpc"),
            observe=lambda method, code, seconds: core.metrics.request("grpc", method, code, seconds),
            observe_stream=core.metrics.stream_ended,
            deadline_s=lambda: core.settings.server.deadline_s,
            authenticator=authenticator,
            limits=limits,
            pools=self._pools,
            callback_allow=lambda: core.settings.pay.callback_allow,
            tracing=core.tracing,
            trusted_proxies=trusted,
        )
        self._grpc = build_server(
            GrpcServices(core.carts, core.orders, core.payments, core.reservations),
            front,
            self._grpc_settings(settings),
            cashier_link=links.of,
            cursors=cursors,
        )
        application = build_http(
            HttpParts(
                carts=core.carts,
                orders=core.orders,
                payments=core.payments,
                checkout=core.checkout,
                order_log=core.order_log,
                statistics=core.statistics,
                authenticator=authenticator,
                limits=limits,
                tokens=core.shared.tokens,
                cursors=cursors,
                links=links,
                clock=core.clock,
                real_now_s=time.time,
                readiness=self._readiness,
                metrics=core.metrics.text,
                advance_clock=core.clock.advance if settings.app.env != "production" else None,
                log=get_logger("rest"),
                observe=lambda method, code, seconds: core.metrics.request("rest", method, code, seconds),
                tracing=core.tracing,
                places=lambda: places(core.settings, self.grpc_port),
                shop_name=lambda: core.settings.app.shop_name or "",
            ),
            self._http_settings(settings),
        )
        self._http = HttpServer(application, host=settings.server.host, port=settings.server.http_port)

    def _grpc_settings(self, settings: Settings) -> GrpcSettings:
        server = settings.server
        return GrpcSettings(
            server.host,
            server.grpc_port,
            grpc_tls(settings),
            server.reflection,
            server.grpc_transport,
            settings.limit.grpc_connections,
        )

    def _http_settings(self, settings: Settings) -> HttpSettings:
        core = self.core
        return HttpSettings(
            deadline_s=lambda: core.settings.server.deadline_s,
            trusted_proxies=settings.server.trusted_proxies,
            cors_origins=settings.server.cors_origins,
            callback_allow=lambda: core.settings.pay.callback_allow,
        )

    # ---- life ----

    async def start(self) -> None:
        """Open the store, take the ports, begin the jobs; what was started is stopped if a part fails.

        Raises StoreTaken, SchemaBehind, CannotListen, OSError.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self.core.open()
        await asyncio.to_thread(remember, self.core.loaded)
        if unused := self.core.loaded.unused:
            log.warning("settings_unused", unused=unused)
        if isinstance(self._keys, Jwks):
            self._refresh = asyncio.create_task(self._keys.keep_fresh(self._jwks_failed))
        self.grpc_port = await self._grpc.start()
        self.http_port = await self._http.start()
        self._jobs.start()
        self._jobs.every("readiness", self._tell_readiness, TELL_EVERY_S)
        if self._run_out is not None:
            await self._run_out.open()
        self._reloading.start()
        self._presence.begin_as(self.core.settings, self.grpc_port)
        log.info(
            "started",
            version=version(),
            grpc_port=self.grpc_port,
            grpc_transport=self._grpc.transport,
            http_port=self.http_port,
            env=self.core.settings.app.env,
        )

    async def stop(self) -> None:
        """Leave, wait until that was noticed, and finish what was accepted.

        No new calls, running ones end, the outbox is drained, files are closed.
        """
        self._stopping = True
        self._grpc.say(serving=False)
        await self._presence.end()
        await self._reloading.stop()
        if self.http_port:
            await asyncio.sleep(self.core.settings.server.stop_wait_s)
        grace_s = self.core.settings.server.stop_timeout_s
        await asyncio.gather(self._grpc.stop(grace_s), self._http.stop(grace_s))
        await self._jobs.stop()
        if self._run_out is not None:
            await self._run_out.close()
        if self.http_port and not self.core.publisher.brokered and await self._relays():
            await self.core.relay.drain(deadline_s=min(grace_s, 5.0))
        if self._refresh is not None:
            self._refresh.cancel()
            with suppress(asyncio.CancelledError):
                await self._refresh
        await self.core.close()
        log.info("stopped")

    async def _relays(self) -> bool:
        try:
            return await self.core.store.leases.hold("relay")
        except OrderServiceError:
            return False

    def reload(self) -> None:
        """Take up soon what can change at run time; a bad configuration is refused and the old one kept."""
        self._reloading.hint()

    # ---- what the fronts ask ----

    def _public_url(self) -> str:
        server = self.core.settings.server
        if server.public_url or server.http_port:
            return server.base_url
        return f"http://{joined(reachable(server.host), self.http_port)}"

    def _rates(self) -> Rates:
        limit = self.core.settings.limit
        return Rates(limit.user_rate, limit.user_burst, limit.global_rate, limit.global_burst)

    async def _readiness(self) -> Readiness:
        try:
            await self._ping()
        except OrderServiceError:
            return Readiness(False, (DATABASE,))
        if self.core.store.trouble:  # it can be read, and takes no order
            return Readiness(False, (DATABASE,))
        return Readiness(not self._stopping, tuple(self._missing()))

    def _missing(self) -> list[str]:
        """What this process does without at present."""
        missing = self.core.neighbours_away()
        if self._presence.away:
            missing.append("registry")
        if self._reloading.trouble:
            missing.append("config")
        if self.core.order_log.away:
            missing.append("order_log")
        if not self.core.shared.cache.up:
            missing.append("cache")
        if self.core.alipay is None or not self.core.alipay.available():
            missing.append("alipay")
        if self._run_out is not None and not self._run_out.connected:
            missing.append("message")
        if log_failing():
            missing.append("log")
        if self._pools.full:
            missing.append("grpc")
        return missing

    async def _tell_readiness(self) -> int:
        found = await self._readiness()
        self.core.metrics.degraded(PARTS, found.missing)
        self.core.metrics.grpc_open(self._pools.taken())
        if not self._stopping:
            self._grpc.say(serving=found.serving)
        why = ""
        if "alipay" in found.missing:
            why = await asyncio.to_thread(why_alipay_is_missing, self.core.settings)
        if why and why != self._told:
            log.error("channel_unavailable", channel="alipay", why=why)
        self._told = why
        return 0

    async def _order_ran_out(self, delivery: Delivery) -> bool:
        """A message that was held back until an order's time was over; the scan is behind it.

        What will pass is waited for. What asking again can't help would keep a thread of the consumer for
        good: it is refused, and ends among the dead letters.
        """
        with processing(self.core.tracing, delivery):
            try:
                await self.core.timeouts.decide(delivery.key)
            except OrderNotFound:
                return True
            except Exception as failed:
                if isinstance(failed, OrderServiceError) and failed.kind in PASSING:
                    raise
                log.exception("timeout_not_decided", order_sn=delivery.key, error=repr(failed))
                return False
        return True

    def _jwks_failed(self, error: Exception) -> None:
        log.error("jwks_failed", location=self.core.settings.auth.jwks, error=repr(error))


def dev_token(settings: Settings) -> TokenSource:
    """A service token of our own, minted again before it ends; empty where there is no development key."""
    if settings.auth.hs256_key is None:
        return lambda: ""
    secret = settings.auth.hs256_key.get_secret_value()
    rules = TokenRules(settings.auth.issuer, settings.auth.audience, settings.auth.max_lifetime_s)
    minted: tuple[float, str] = (float("-inf"), "")

    def token() -> str:
        nonlocal minted
        if time.monotonic() - minted[0] > DEV_TOKEN_S / 2:
            text = mint_token(
                secret, subject="order-service", role=Role.SERVICE, rules=rules, lifetime_s=DEV_TOKEN_S
            )
            minted = (time.monotonic(), text)
        return minted[1]

    return token


def grpc_tls(settings: Settings) -> ServerTls | None:
    """TLS by two settings, mutual by a third."""
    server = settings.server
    if not (server.tls_cert and server.tls_key):
        return None
    return ServerTls(server.tls_cert, server.tls_key, server.tls_client_ca)
