"""Stream methods: their place among the open streams, and typed messages instead of bytes.

A handler is an asynchronous generator of response messages; it waits while the caller is slow to read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar

from google.protobuf.message import Message
from grpc import StatusCode

from shop_order.pkg.grpc.admission import STOPPING
from shop_order.pkg.grpc.server import Handler, Interceptor
from shop_order.web.auth.client_address import peer_address
from shop_order.web.context import RequestContext, log_order_sn
from shop_order.web.grpc.chain import Call, parse
from shop_order.web.open_streams import OpenStreams, ServiceStopping

Request = TypeVar("Request", bound=Message)
Responses = AsyncGenerator[Message, None]


def open_stream(streams: OpenStreams) -> Interceptor[Call]:
    """Bound the number of open streams, and end them with UNAVAILABLE at a stop. Raises Overloaded."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        async def counted(call: Call) -> bytes:
            try:
                async with streams.open(peer_address(call.context.peer()), call.request.actor):
                    return await handler(call)
            except ServiceStopping:  # callers reconnect to another instance
                call.code = StatusCode.UNAVAILABLE
                await call.context.abort(call.code, STOPPING, call.trailing())
            raise AssertionError("abort returned")

        return counted

    return wrap


def server_stream(
    message: type[Request], handle: Callable[[Request, RequestContext], Responses]
) -> Handler[Call]:
    """The innermost handler of a stream with one request."""

    async def decoded(call: Call) -> bytes:
        request = parse(message, call.body)
        log_order_sn(getattr(request, "order_sn", ""))
        return await _send(call, handle(request, call.request))

    return decoded


def bidi_stream(
    message: type[Request], handle: Callable[[AsyncIterator[Request], RequestContext], Responses]
) -> Handler[Call]:
    """The innermost handler of a stream in both directions. Reading a malformed request ends it."""

    async def requests(call: Call) -> AsyncIterator[Request]:
        assert call.messages is not None
        async for body in call.messages:
            yield parse(message, body)

    async def decoded(call: Call) -> bytes:
        return await _send(call, handle(requests(call), call.request))

    return decoded


async def _send(call: Call, responses: Responses) -> bytes:
    async with aclosing(responses):
        async for response in responses:
            await call.send(response.SerializeToString())
    return b""
