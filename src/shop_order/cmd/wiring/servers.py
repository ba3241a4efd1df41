"""The gRPC and HTTP servers over the use cases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp

from shop_order.cmd.wiring.core import Core
from shop_order.cmd.wiring.from_settings import grpc_tls, landing_links, token_rules
from shop_order.configs import Settings
from shop_order.gateway.payment import notice_routes
from shop_order.pkg.address import join_host_port, reachable
from shop_order.pkg.http.server import HttpServer
from shop_order.pkg.log import get_logger
from shop_order.web.auth.cashier_links import CashierLinks
from shop_order.web.auth.client_address import networks
from shop_order.web.auth.keys import DevKey, Jwks, KeySource
from shop_order.web.auth.limits import Pools, RateLimits, Rates
from shop_order.web.auth.refusals import REASONS, RefusedTokens
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.dto.cursors import Cursors
from shop_order.web.grpc.server import (
    GrpcSettings,
    Interceptors,
    OrderGrpcServer,
    build_server,
    service_methods,
)
from shop_order.web.handler.health import Readiness
from shop_order.web.http import HttpParts, HttpSettings, build_http
from shop_order.web.open_streams import OpenStreams

log = get_logger("app")


class Servers:
    """`start` opens both ports, `stop` finishes accepted requests."""

    def __init__(self, core: Core, readiness: Callable[[], Awaitable[Readiness]]) -> None:
        """Raises ValueError without a key for tokens."""
        settings = core.settings
        self._core = core
        self._keys = _key_source(settings)
        self._refresh: asyncio.Task[None] | None = None
        self._links = CashierLinks(core.shared.signer, public_url=self._public_url)
        self._cursors = Cursors(core.shared.signer)
        self._limits = RateLimits(core.shared.limiter, self._rates)
        self._authenticator = Authenticator(
            self._keys,
            token_rules(settings),
            revoked=core.shared.revocations,
            on_refusal=RefusedTokens(get_logger("auth"), core.metrics.token_refusals(REASONS)),
        )
        self._trusted = networks(settings.server.trusted_proxies)
        self.pools = Pools(lambda: core.settings.limit, self._trusted)
        self._streams = OpenStreams(self.pools)
        self.grpc = self._build_grpc(settings)
        rest = self._build_rest(settings, readiness)
        self._http = HttpServer(rest, host=settings.server.host, port=settings.server.http_port)
        self.grpc_port = 0
        self.http_port = 0

    def _build_grpc(self, settings: Settings) -> OrderGrpcServer:
        core = self._core
        front = Interceptors(
            log=get_logger("grpc"),
            observe=lambda method, code, seconds: core.metrics.request("grpc", method, code, seconds),
            observe_stream=core.metrics.stream_ended,
            deadline_s=lambda: core.settings.server.deadline_s,
            authenticator=self._authenticator,
            limits=self._limits,
            pools=self.pools,
            callback_allow=lambda: core.settings.pay.callback_allow,
            tracing=core.tracing,
            trusted_proxies=self._trusted,
        )
        server = settings.server
        return build_server(
            service_methods(
                core.use_cases,
                cashier_link=self._links.of,
                cursors=self._cursors,
                log=get_logger("grpc").warning,
            ),
            front,
            GrpcSettings(
                server.host,
                server.grpc_port,
                grpc_tls(settings),
                server.reflection,
                server.grpc_transport,
                settings.limit.grpc_connections,
            ),
            self._streams,
        )

    def _build_rest(self, settings: Settings, readiness: Callable[[], Awaitable[Readiness]]) -> ASGIApp:
        core = self._core
        return build_http(
            HttpParts(
                use_cases=core.use_cases,
                notice_routes=notice_routes(),
                authenticator=self._authenticator,
                limits=self._limits,
                streams=self._streams,
                tokens=core.shared.tokens,
                cursors=self._cursors,
                links=self._links,
                clock=core.clock,
                real_now_s=time.time,
                readiness=readiness,
                metrics=core.metrics.text,
                advance_clock=core.clock.advance if settings.app.env != "production" else None,
                log=get_logger("rest"),
                observe=lambda method, code, seconds: core.metrics.request("rest", method, code, seconds),
                tracing=core.tracing,
                places=lambda: landing_links(core.settings, self.grpc_port),
                shop_name=lambda: core.settings.app.shop_name or "",
            ),
            HttpSettings(
                deadline_s=lambda: core.settings.server.deadline_s,
                trusted_proxies=settings.server.trusted_proxies,
                cors_origins=settings.server.cors_origins,
                callback_allow=lambda: core.settings.pay.callback_allow,
            ),
        )

    async def start(self) -> None:
        """Listen. Raises CannotListen, OSError."""
        if isinstance(self._keys, Jwks):
            self._refresh = asyncio.create_task(self._keys.keep_fresh(self._jwks_failed))
        self.grpc_port = await self.grpc.start()
        self.http_port = await self._http.start()

    async def stop(self, grace_s: float) -> None:
        """End the streams of both ports, refuse new calls, and wait at most `grace_s` for running ones."""
        await asyncio.gather(self.grpc.stop(grace_s), self._http.stop(grace_s))
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)

    def _public_url(self) -> str:
        server = self._core.settings.server
        if server.public_url or server.http_port:
            return server.base_url
        return f"http://{join_host_port(reachable(server.host), self.http_port)}"

    def _rates(self) -> Rates:
        limit = self._core.settings.limit
        return Rates(limit.user_rate, limit.user_burst, limit.global_rate, limit.global_burst)

    def _jwks_failed(self, error: Exception) -> None:
        log.error("jwks_failed", location=self._core.settings.auth.jwks, error=repr(error))


def _key_source(settings: Settings) -> KeySource:
    if settings.auth.jwks:
        return Jwks(settings.auth.jwks)
    if settings.auth.hs256_key is None:
        raise ValueError("neither AUTH__JWKS nor AUTH__HS256_KEY is set")
    return DevKey(settings.auth.hs256_key.get_secret_value())
