"""The methods of a service, before and after the chain stands around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc

from shop_order.pkg.grpc.admission import Context, MethodHandler
from shop_order.pkg.grpc.server import Handler, Middleware, with_middleware
from shop_order.web.grpc.call import Call


@dataclass(frozen=True, slots=True)
class Methods:
    """One service: its handlers by short name. Those of streams write with `call.send` and return b""."""

    service: str
    unary: Mapping[str, Handler[Call]] = field(default_factory=dict)
    server_streams: Mapping[str, Handler[Call]] = field(default_factory=dict)
    bidi_streams: Mapping[str, Handler[Call]] = field(default_factory=dict)

    def full_names(self) -> list[str]:
        """What the table of roles calls them."""
        return [f"/{self.service}/{name}" for name in (*self.unary, *self.server_streams, *self.bidi_streams)]

    def wrapped(
        self, links: Sequence[Middleware[Call]], stream_links: Sequence[Middleware[Call]]
    ) -> dict[str, MethodHandler]:
        """The methods as grpc registers them: each wrapped once."""
        methods: dict[str, MethodHandler] = {}
        for name, handler in self.unary.items():
            methods[name] = _unary(with_middleware(f"/{self.service}/{name}", handler, links))
        for name, handler in self.server_streams.items():
            methods[name] = _server_stream(with_middleware(f"/{self.service}/{name}", handler, stream_links))
        for name, handler in self.bidi_streams.items():
            methods[name] = _bidi_stream(with_middleware(f"/{self.service}/{name}", handler, stream_links))
        return methods


def _unary(handler: Handler[Call]) -> MethodHandler:
    async def answer(body: bytes, context: Context) -> bytes:
        return await handler(Call(body, context))

    return grpc.unary_unary_rpc_method_handler(answer)


def _server_stream(handler: Handler[Call]) -> MethodHandler:
    async def write_answers(body: bytes, context: Context) -> None:
        await handler(Call(body, context))

    return grpc.unary_stream_rpc_method_handler(write_answers)


def _bidi_stream(handler: Handler[Call]) -> MethodHandler:
    async def write_answers(messages: AsyncIterator[bytes], context: Context) -> None:
        await handler(Call(b"", context, messages))

    return grpc.stream_stream_rpc_method_handler(write_answers)
