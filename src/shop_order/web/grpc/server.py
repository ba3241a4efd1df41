"""The gRPC server: both published services, the reservation check, health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

# Importing these modules registers their descriptors, from which reflection answers.
from shop_order.api.proto import order_pb2 as _order_pb2  # noqa: F401
from shop_order.api.proto import shop_order_pb2 as _shop_order_pb2  # noqa: F401
from shop_order.api.proto.shop import neighbours_pb2 as neighbours
from shop_order.domain.entity.order import Order
from shop_order.pkg.address import join_host_port
from shop_order.pkg.grpc.server import MAX_CONNECTIONS, GrpcServer, Handler, Interceptor, ServerTls
from shop_order.service.reservation import ReservationService
from shop_order.service.use_cases import UseCases
from shop_order.web.auth.client_address import Network
from shop_order.web.auth.limits import Pools, RateLimits
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import Observe, RequestContext, RequestLog, server_span
from shop_order.web.dto.cursors import Cursors
from shop_order.web.grpc.chain import (
    Call,
    Methods,
    allow_list,
    authentication,
    deadline,
    decoding,
    idempotency,
    open_call_limit,
    rate_limit,
    recovery,
    request_log,
)
from shop_order.web.grpc.event_inbox import EventInboxHandlers
from shop_order.web.grpc.health import SERVICE as HEALTH
from shop_order.web.grpc.health import Health
from shop_order.web.grpc.order_service import OrderServiceHandlers
from shop_order.web.grpc.shop_order import ShopOrderHandlers
from shop_order.web.grpc.streams import Responses, bidi_stream, open_stream
from shop_order.web.open_streams import OpenStreams

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

RESERVATION_CHECK = "shop.neighbours.ReservationCheck"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
# Codes that mark a span as failed; all others are the caller's errors.
SERVER_ERRORS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)


@dataclass(frozen=True, slots=True)
class Interceptors:
    """Builds the chains of interceptors.

    `deadline_s` and `callback_allow` are called for every request, because settings can be reloaded.
    """

    log: RequestLog
    observe: Observe
    observe_stream: Observe
    deadline_s: Callable[[], float]
    pools: Pools
    authenticator: Authenticator
    limits: RateLimits
    callback_allow: Callable[[], tuple[str, ...]] = tuple  # networks that may send notices; empty: all
    tracing: Tracing | None = None
    trusted_proxies: tuple[Network, ...] = ()

    def unary(self) -> Sequence[Interceptor[Call]]:
        """The chain of unary methods, outermost first."""
        return (
            *self._outer("grpc request", self.observe),
            open_call_limit(self.pools),
            deadline(self.deadline_s),
            authentication(self.authenticator, self.trusted_proxies),
            allow_list(self.callback_allow, self.trusted_proxies),
            rate_limit(self.limits),
            idempotency,
        )

    def stream(self, streams: OpenStreams) -> Sequence[Interceptor[Call]]:
        """The chain of streams: without a deadline, counted, and ended at a stop."""
        return (
            *self._outer("grpc stream", self.observe_stream),
            authentication(self.authenticator, self.trusted_proxies),
            rate_limit(self.limits),
            open_stream(streams),
        )

    def _outer(self, event: str, observe: Observe) -> Sequence[Interceptor[Call]]:
        return (
            *([trace_calls(self.tracing)] if self.tracing else ()),
            request_log(self.log, observe, event),
            recovery(self.log),
        )


def trace_calls(tracing: Tracing) -> Interceptor[Call]:
    """Record a span for every call, and add its trace id to all log lines."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        name = method.removeprefix("/")
        service, _, short = name.rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}

        async def in_span(call: Call) -> bytes:
            with server_span(tracing, name, call.metadata, attributes) as span:
                try:
                    return await handler(call)
                finally:
                    span.set("rpc.grpc.status_code", call.code.value[0])
                    if call.code in SERVER_ERRORS:
                        span.failed(call.code.name)

        return in_span

    return wrap


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """Where and how to listen; port 0 means any free port."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: ServerTls | None = None
    reflection: bool = False
    transport: str = "auto"
    max_connections: int = MAX_CONNECTIONS

    @property
    def address(self) -> str:
        """host:port, with an IPv6 host in brackets."""
        return join_host_port(self.host, self.port)


class OrderGrpcServer:
    """The gRPC server with its health status and open streams."""

    def __init__(self, server: GrpcServer, health: Health, streams: OpenStreams) -> None:
        self._server = server
        self._health = health
        self._streams = streams
        self.transport = server.transport

    async def start(self) -> int:
        """Listen, and return the port. Raises CannotListen, OSError (TLS files)."""
        return await self._server.start()

    def report(self, *, serving: bool) -> None:
        """Set the health status; calls are answered either way."""
        self._health.report(serving=serving)

    async def stop(self, grace_s: float) -> None:
        """Report NOT_SERVING, end streams, refuse new calls, and wait up to `grace_s` for running ones."""
        self._health.stop()
        await self._streams.end()
        await self._server.stop(grace_s)


def build_server(
    ours: Sequence[Methods], interceptors: Interceptors, settings: GrpcSettings, streams: OpenStreams
) -> OrderGrpcServer:
    """Register our methods, health and reflection with interceptors; nothing listens before `start`.

    Raises CannotListen if the transport is missing.
    """
    names = [methods.service for methods in ours]
    health = Health(["", "health", *names, HEALTH])
    unary, stream = interceptors.unary(), interceptors.stream(streams)
    handlers = {methods.service: methods.wrapped(unary, stream) for methods in ours}
    # Checks are cheap, frequent, and must never starve: no request log, no slot in a pool.
    handlers[HEALTH] = health.methods().wrapped((recovery(interceptors.log),), stream)
    if settings.reflection:
        methods = _reflection([*names, HEALTH, REFLECTION])
        handlers[REFLECTION] = methods.wrapped(unary, stream)
    server = GrpcServer(
        settings.address,
        handlers,
        transport=settings.transport,
        tls=settings.tls,
        max_connections=settings.max_connections,
        address_bound=interceptors.pools.connections,
    )
    return OrderGrpcServer(server, health, streams)


def service_methods(
    use_cases: UseCases,
    *,
    cashier_link: Callable[[Order], str],
    cursors: Cursors,
    log: Callable[..., None],
) -> list[Methods]:
    """Our own services with their handlers."""
    order = OrderServiceHandlers(use_cases, cashier_link, cursors)
    shop = ShopOrderHandlers(use_cases, cashier_link, cursors)
    reservations = ReservationHandlers(use_cases.reservations)
    inbox = EventInboxHandlers(use_cases.wallet_answers, log)
    return [order.methods(), shop.methods(), reservations.methods(), inbox.methods()]


class ReservationHandlers:
    """`shop.neighbours.ReservationCheck`: the state of orders whose stock leases expired."""

    def __init__(self, reservations: ReservationService) -> None:
        self._reservations = reservations

    def methods(self) -> Methods:
        """Every method of the service by its name."""
        return Methods(
            RESERVATION_CHECK,
            unary={"CheckReservations": decoding(neighbours.OrderSns, self.check_reservations)},
        )

    async def check_reservations(
        self, request: neighbours.OrderSns, context: RequestContext
    ) -> neighbours.Verdicts:
        """One verdict for each of our order numbers, in the given order; unknown numbers are omitted."""
        verdicts = await self._reservations.check(context.caller, request.order_sns)
        return neighbours.Verdicts(
            verdicts=[
                neighbours.Verdict(order_sn=v.order_sn, answer=v.answer, until_ms=v.until_ms)
                for v in verdicts
            ]
        )


def _reflection(names: Sequence[str]) -> Methods:
    """Server reflection, for this machine and for admins (contract, chapter 5)."""
    servicer = reflection.aio.ReflectionServicer(names, descriptor_pool.Default())

    def info(requests: AsyncIterator[ServerReflectionRequest], context: RequestContext) -> Responses:
        responses: Responses = servicer.ServerReflectionInfo(requests, None)
        return responses

    return Methods(
        REFLECTION, bidi_streams={"ServerReflectionInfo": bidi_stream(ServerReflectionRequest, info)}
    )
