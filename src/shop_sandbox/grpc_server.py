"""The neighbours' gRPC services on one port. Methods decode, call and encode; nothing else happens here."""

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
from shop_sandbox.address import joined
from shop_sandbox.database import DatabaseBusy
from shop_sandbox.goods import Goods
from shop_sandbox.http_server import listen
from shop_sandbox.inbox import EventInbox
from shop_sandbox.inventory import Inventory
from shop_sandbox.users import NotFound, Users

if TYPE_CHECKING:
    from shop_order.api.client.tracing import Tracing

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
STOP_GRACE_S = 5.0

logger = logging.getLogger("shop_sandbox.grpc")

Method = tuple[Callable[[Any], Awaitable[Message | bytes]], type[Message]]


class PortTaken(OSError):
    """Another process listens there."""


class _Context(Protocol):
    async def abort(self, code: grpc.StatusCode, details: str) -> Any: ...


def methods(
    goods: Goods, inventory: Inventory, users: Users, inbox: EventInbox
) -> dict[str, dict[str, Method]]:
    """Every service and method, with the message it takes."""
    return {
        "shop.neighbours.Goods": {"BatchGetGoods": (goods.batch_get, pb.GoodsIds)},
        "shop.neighbours.Inventory": {
            "Reserve": (inventory.reserve, pb.ReserveRequests),
            "Confirm": (inventory.confirm, pb.OrderSns),
            "Release": (inventory.release, pb.OrderSns),
            "Return": (inventory.give_back, pb.ReturnRequests),
            "GetStock": (inventory.get_stock, pb.GoodsIds),
            "ListLeases": (inventory.list_leases, pb.LeaseFilter),
        },
        "shop.neighbours.Users": {
            "GetAddress": (users.get_address, pb.AddressRequest),
            "ListAddresses": (users.list_addresses, pb.UserId),
            "GetBalance": (users.get_balance, pb.UserId),
            "ListLedger": (users.list_ledger, pb.LedgerFilter),
        },
        "shop.neighbours.EventInbox": {"Deliver": (inbox.deliver, pb.EventBatch)},
    }


class NeighbourServer:
    """A grpc.aio server for a table of methods, with health."""

    def __init__(
        self, services: Mapping[str, Mapping[str, Method]], tracing: "Tracing | None" = None
    ) -> None:
        self._services = services
        self._tracing = tracing

    async def start(self, host: str, port: int) -> int:
        """Listen there, alone, and answer the port. Raises PortTaken."""
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
                name: self._seen(f"{service}/{name}", _unary(f"{service}/{name}", *method))
                for name, method in table.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
        try:
            # gRPC writes an error line of its own to stderr when a port is taken: asked before, it need not.
            listen(host, port).close()
            bound = self._server.add_insecure_port(joined(host, port))
        except (OSError, RuntimeError) as error:
            raise PortTaken(f"{joined(host, port)} is taken") from error
        await self._server.start()
        return bound

    def _seen(
        self, name: str, handler: "grpc.RpcMethodHandler[bytes, bytes]"
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Where traces are on, calls that carry one are spans of it; a batch of events carries none."""
        if self._tracing is None:
            return handler
        tracing = self._tracing
        handle: Any = handler.unary_unary
        service, _, short = name.rpartition("/")
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}

        async def seen(raw: bytes, context: Any) -> Any:
            carried = dict(context.invocation_metadata() or ())
            if "traceparent" not in carried:
                return await handle(raw, context)
            with tracing.server(name, carried["traceparent"], carried.get("tracestate", ""), about):
                return await handle(raw, context)

        return grpc.unary_unary_rpc_method_handler(seen)

    async def stop(self) -> None:
        """Let running calls end, at most 5 s."""
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
            code, details = grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls wait"
        except Exception:
            logger.exception("%s failed", name)
            code, details = grpc.StatusCode.INTERNAL, "internal error"
        await context.abort(code, details)
        raise AssertionError("abort raises")

    # Without (de)serializers gRPC hands over raw bytes: decoding errors are then ours to answer.
    return grpc.unary_unary_rpc_method_handler(handle)
