"""Both published services, the check-back, health and reflection on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection, reflection_pb2

# Reflection answers from the pool of descriptors, which these modules fill.
from shop_order.api.proto import order_pb2 as _order_pb2  # noqa: F401
from shop_order.api.proto import shop_order_pb2 as _shop_order_pb2  # noqa: F401
from shop_order.api.proto.shop import neighbours_pb2 as _neighbours_pb2  # noqa: F401
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import InvalidArgument
from shop_order.pkg.address import join_host_port
from shop_order.pkg.grpc.server import MAX_CONNECTIONS, GrpcServer, ServerTls
from shop_order.service.cart import CartService
from shop_order.service.order import OrderService
from shop_order.service.payment import PaymentService
from shop_order.service.reservation import ReservationService
from shop_order.web.dto.wire import Cursors
from shop_order.web.grpc.call import Call
from shop_order.web.grpc.chain import Front, recovery
from shop_order.web.grpc.health import SERVICE as HEALTH
from shop_order.web.grpc.health import Health
from shop_order.web.grpc.order_service import OrderHandlers
from shop_order.web.grpc.registry import Methods
from shop_order.web.grpc.reservation import ReservationHandlers
from shop_order.web.grpc.shop_order import ShopOrderHandlers
from shop_order.web.grpc.streams import OpenStreams

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


@dataclass(frozen=True, slots=True)
class GrpcServices:
    """The use cases behind the port."""

    carts: CartService
    orders: OrderService
    payments: PaymentService
    reservations: ReservationService


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """Where and how to listen; port 0 takes any free one."""

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
    """The running front: `start` and `stop`, and what health says."""

    def __init__(self, server: GrpcServer, health: Health, streams: OpenStreams) -> None:
        self._server = server
        self._health = health
        self._streams = streams
        self.transport = server.transport

    async def start(self) -> int:
        """Listen and say SERVING; the port. Raises CannotListen, OSError (TLS files)."""
        return await self._server.start()

    def say(self, *, serving: bool) -> None:
        """Say SERVING or NOT_SERVING, while calls are answered either way."""
        self._health.say(serving=serving)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, end the streams, refuse new calls, wait for those that run, at most `grace_s`."""
        self._health.stop()
        await self._streams.end()
        await self._server.stop(grace_s)


def build_server(
    services: GrpcServices,
    front: Front,
    settings: GrpcSettings,
    *,
    cashier_link: Callable[[Order], str],
    cursors: Cursors,
) -> OrderGrpcServer:
    """Register every method once, with its chain around it; nothing listens before `start`.

    Raises CannotListen if the transport is missing.
    """
    ours = published(services, cashier_link=cashier_link, cursors=cursors)
    names = [methods.service for methods in ours]
    health, streams = Health(["", "health", *names, HEALTH]), OpenStreams()
    links, stream_links = front.links(), front.stream_links(streams)
    handlers = {methods.service: methods.wrapped(links, stream_links) for methods in ours}
    # A check is cheap, frequent, and must come through: no line of log, no place in a pool.
    handlers[HEALTH] = health.methods().wrapped((recovery(front.log),), stream_links)
    if settings.reflection:
        methods = _reflection([*names, HEALTH, REFLECTION])
        handlers[REFLECTION] = methods.wrapped(links, stream_links)
    server = GrpcServer(
        settings.address,
        handlers,
        transport=settings.transport,
        tls=settings.tls,
        max_connections=settings.max_connections,
        address_bound=front.pools.connections,
    )
    return OrderGrpcServer(server, health, streams)


def published(
    services: GrpcServices, *, cashier_link: Callable[[Order], str], cursors: Cursors
) -> list[Methods]:
    """Our own services with their handlers."""
    order = OrderHandlers(services.orders, services.payments, cashier_link=cashier_link, cursors=cursors)
    shop = ShopOrderHandlers(
        services.carts, services.orders, services.payments, cashier_link=cashier_link, cursors=cursors
    )
    return [order.methods(), shop.methods(), ReservationHandlers(services.reservations).methods()]


def _reflection(names: Sequence[str]) -> Methods:
    """Reflection for callers of this machine, and for admins (contract, chapter 5)."""
    servicer = reflection.aio.ReflectionServicer(names, descriptor_pool.Default())

    async def info(call: Call) -> bytes:
        async for answer in servicer.ServerReflectionInfo(_questions(call), call.context):
            await call.send(answer.SerializeToString())
        return b""

    return Methods(REFLECTION, bidi_streams={"ServerReflectionInfo": info})


async def _questions(call: Call) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    assert call.messages is not None
    async for message in call.messages:
        try:
            yield reflection_pb2.ServerReflectionRequest.FromString(message)
        except DecodeError:
            raise InvalidArgument("request", "malformed") from None
