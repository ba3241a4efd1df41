"""The methods of a service, before and after the chain stands around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from shop_order.domain.errors import Unimplemented
from shop_order.pkg.grpc.server import Context, Handler, Link, chained, generic, unary
from shop_order.web.grpc.call import Call


@dataclass(frozen=True, slots=True)
class Methods:
    """One service: its unary handlers by short name, and the streams that are built later."""

    service: str
    unary: Mapping[str, Handler[Call]]
    later_streams: Sequence[str] = ()

    def full_names(self) -> list[str]:
        """What the table of roles calls them."""
        return [f"/{self.service}/{name}" for name in (*self.unary, *self.later_streams)]

    def wrapped(self, links: Sequence[Link[Call]]) -> grpc.GenericRpcHandler:
        """The service as grpc registers it: every method wrapped once."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for name, handler in self.unary.items():
            methods[name] = unary(Call, chained(f"/{self.service}/{name}", handler, links))
        for name in self.later_streams:
            methods[name] = _stream(chained(f"/{self.service}/{name}", _later, links))
        return generic(self.service, methods)


async def _later(call: Call) -> bytes:
    raise Unimplemented


def _stream(handler: Handler[Call]) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(requests: AsyncIterator[bytes], context: Context) -> None:
        await handler(Call(b"", context))

    return grpc.stream_stream_rpc_method_handler(answer)
