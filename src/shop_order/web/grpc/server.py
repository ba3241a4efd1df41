"""Both published services, the check-back, health and reflection on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

# Reflection answers from the pool of descriptors, which these modules fill.
from shop_order.api.proto import order_pb2 as _order_pb2  # noqa: F401
from shop_order.api.proto import shop_order_pb2 as _shop_order_pb2  # noqa: F401
from shop_order.api.proto.shop import neighbours_pb2 as _neighbours_pb2  # noqa: F401
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderServiceError
from shop_order.pkg.address import joined
from shop_order.pkg.grpc.server import Context, GrpcServer, ServerTls, generic
from shop_order.service.cart import CartService
from shop_order.service.order import OrderService
from shop_order.service.payment import PaymentService
from shop_order.service.reservation import ReservationService
from shop_order.web.auth.roles import ROLES, authorize
from shop_order.web.dto.wire import Cursors
from shop_order.web.grpc.call import Call
from shop_order.web.grpc.chain import Front, refused
from shop_order.web.grpc.health import HealthState
from shop_order.web.grpc.order_service import OrderHandlers
from shop_order.web.grpc.registry import Methods
from shop_order.web.grpc.reservation import ReservationHandlers
from shop_order.web.grpc.shop_order import ShopOrderHandlers
from shop_order.web.middleware.client_address import is_loopback
from shop_order.web.status import grpc_code

HEALTH = "grpc.health.v1.Health"
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

    @property
    def address(self) -> str:
        """host:port, with an IPv6 host in brackets."""
        return joined(self.host, self.port)


class OrderGrpcServer:
    """The running front: `start` and `stop`, and what health says."""

    def __init__(self, server: GrpcServer, state: HealthState, names: Sequence[str]) -> None:
        self._server = server
        self._state = state
        self._names = names

    async def start(self) -> int:
        """Listen and say SERVING; the port. Raises CannotListen, OSError (TLS files)."""
        port = await self._server.start()
        await self.say(serving=True)
        return port

    async def say(self, *, serving: bool) -> None:
        """Say SERVING or NOT_SERVING, while calls are answered either way; after `not_serving` it stays."""
        states = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._state.set(name, states.SERVING if serving else states.NOT_SERVING)

    async def not_serving(self) -> None:
        """Say NOT_SERVING, while calls are still answered; `stop` does it too."""
        await self._state.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, refuse new calls, wait for those that run, at most `grace_s`."""
        await self.not_serving()
        self._state.end_watches()
        await self._server.stop(grace_s)


def build_server(
    services: GrpcServices,
    front: Front,
    settings: GrpcSettings,
    *,
    cashier_link: Callable[[Order], str],
    cursors: Cursors,
) -> OrderGrpcServer:
    """Register every method once, with its chain around it; nothing listens before `start`."""
    ours = published(services, cashier_link=cashier_link, cursors=cursors)
    links = front.links()
    state = HealthState()
    handlers = [methods.wrapped(links) for methods in ours]
    handlers.append(_health(state))
    names = [methods.service for methods in ours]
    if settings.reflection:
        handlers.append(_reflection([*names, HEALTH, REFLECTION], front))
    server = GrpcServer(settings.address, handlers, tls=settings.tls)
    return OrderGrpcServer(server, state, ["", "health", *names, HEALTH])


def published(
    services: GrpcServices, *, cashier_link: Callable[[Order], str], cursors: Cursors
) -> list[Methods]:
    """Our own services with their handlers."""
    order = OrderHandlers(services.orders, services.payments, cashier_link=cashier_link, cursors=cursors)
    shop = ShopOrderHandlers(
        services.carts, services.orders, services.payments, cashier_link=cashier_link, cursors=cursors
    )
    return [order.methods(), shop.methods(), ReservationHandlers(services.reservations).methods()]


def _health(state: HealthState) -> grpc.GenericRpcHandler:
    check = grpc.unary_unary_rpc_method_handler(
        state.Check,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    watch = grpc.unary_stream_rpc_method_handler(
        state.Watch,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    return generic(HEALTH, {"Check": check, "Watch": watch})


def _reflection(names: Sequence[str], front: Front) -> grpc.GenericRpcHandler:
    """Reflection for callers of this machine, and for admins (contract, chapter 5)."""
    servicer = reflection.aio.ReflectionServicer(names, descriptor_pool.Default())
    row = ROLES[f"/{REFLECTION}/ServerReflectionInfo"]

    async def guarded(
        requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        call = Call(b"", context)
        try:
            local = is_loopback(call.address(front.trusted_proxies))
            actor = None if local else call.actor(front.authenticator)
            authorize(row, actor, loopback=local)
        except OrderServiceError as refusal:
            code = grpc_code(refusal)
            await context.abort(code, refused(refusal, code, call.request.language)[0])
        async for answer in servicer.ServerReflectionInfo(requests, context):
            yield answer

    info = grpc.stream_stream_rpc_method_handler(
        guarded,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return generic(REFLECTION, {"ServerReflectionInfo": info})
