"""The neighbours' gRPC services on one port: decode, call, encode."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio
from grpc_health.v1.health_pb2_grpc import (
    add_HealthServicer_to_server,
)

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.address import host_port
from shop_sandbox.database import DatabaseBusy
from shop_sandbox.goods import Goods
from shop_sandbox.http_server import listen
from shop_sandbox.inventory import Inventory
from shop_sandbox.users import NotFound, Users

if TYPE_CHECKING:
    from shop_order.api.client.tracing import Tracing

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
STOP_GRACE_S = 5.0

logger = logging.getLogger("shop_sandbox.grpc")

Method = tuple[Callable[[Any], Awaitable[Message | bytes]], type[Message]]


class PortTaken(OSError):
    """Another process is listening on the port."""


class _Context(Protocol):
    async def abort(self, code: grpc.StatusCode, details: str) -> Any: ...


def methods(
    goods: Goods, inventory: Inventory, users: Users, deliver: Callable[[pb.EventBatch], Awaitable[Message]]
) -> dict[str, dict[str, Method]]:
    """Each service's methods with their request types."""
    return {
        "shop.neighbours.Goods": {"BatchGetGoods": (goods.batch_get, pb.GoodsIds)},
        "shop.neighbours.Inventory": {
            "Reserve": (inventory.reserve, pb.ReserveRequests),
            "Confirm": (inventory.confirm, pb.OrderSns),
            "Release": (inventory.release, pb.OrderSns),
            "Return": (inventory.return_stock, pb.ReturnRequests),
            "GetStock": (inventory.get_stock, pb.GoodsIds),
            "ListLeases": (inventory.list_leases, pb.LeaseFilter),
        },
        "shop.neighbours.Users": {
            "GetAddress": (users.get_address, pb.AddressRequest),
            "ListAddresses": (users.list_addresses, pb.UserId),
            "GetBalance": (users.get_balance, pb.UserId),
            "ListLedger": (users.list_ledger, pb.LedgerFilter),
        },
        "shop.neighbours.EventInbox": {"Deliver": (deliver, pb.EventBatch)},
    }


class NeighbourServer:
    """A grpc.aio server for a table of methods, with health."""

    def __init__(
        self, services: Mapping[str, Mapping[str, Method]], tracing: "Tracing | None" = None
    ) -> None:
        self._services = services
        self._tracing = tracing

    async def start(self, host: str, port: int) -> int:
        """Listen exclusively and return the port. Raises PortTaken."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ]
        )
        health = health_aio.HealthServicer()
        add_HealthServicer_to_server(health, self._server)
        for service, table in self._services.items():
            handlers = {
                name: self._traced(f"{service}/{name}", _unary(f"{service}/{name}", *method))
                for name, method in table.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
        try:
            # Test the port first: gRPC would write an error line of its own to stderr.
            listen(host, port).close()
            bound = self._server.add_insecure_port(host_port(host, port))
        except (OSError, RuntimeError) as error:
            raise PortTaken(f"{host_port(host, port)} is taken") from error
        await self._server.start()
        return bound

    def _traced(
        self, name: str, handler: "grpc.RpcMethodHandler[bytes, bytes]"
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The handler with a server span for each call that carries a trace, if tracing is on."""
        if self._tracing is None:
            return handler
        tracing = self._tracing
        handle: Any = handler.unary_unary
        service, _, short = name.rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}

        async def traced(raw: bytes, context: Any) -> Any:
            carried = dict(context.invocation_metadata() or ())
            if "traceparent" not in carried:
                return await handle(raw, context)
            with tracing.server(name, carried["traceparent"], carried.get("tracestate", ""), attributes):
                return await handle(raw, context)

        return grpc.unary_unary_rpc_method_handler(traced)

    async def stop(self) -> None:
        """Wait up to 5 s for running calls, then stop."""
        await self._server.stop(STOP_GRACE_S)


def _unary(
    name: str,
    call: Callable[[Any], Awaitable[Message | bytes]],
    request_type: type[Message],
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def handle(raw: bytes, context: _Context) -> bytes:
        try:
            reply = await call(request_type.FromString(raw))
            return reply if isinstance(reply, bytes) else reply.SerializeToString()
        except (DecodeError, ValueError) as error:
            code, details = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except NotFound as error:
            code, details = grpc.StatusCode.NOT_FOUND, str(error)
        except DatabaseBusy:
            code, details = grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls are waiting"
        except Exception:
            logger.exception("%s failed", name)
            code, details = grpc.StatusCode.INTERNAL, "internal error"
        await context.abort(code, details)
        raise AssertionError("abort raises")

    # Without (de)serializers gRPC passes raw bytes, so that we can answer decoding errors.
    return grpc.unary_unary_rpc_method_handler(handle)
