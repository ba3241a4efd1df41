"""The streams that are open on both ports: bounded in number, and ended when the service stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shop_order.domain.valueobject.parties import Actor
from shop_order.web.auth.limits import Pools, user_key
from shop_order.web.context import context

STREAM_GRACE_S = 0.2  # for streams to end by themselves


class ServiceStopping(Exception):
    """The stream ends, because the service stops."""


class OpenStreams:
    """Counts the streams of gRPC and REST in one pool, and ends them."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._open: set[asyncio.Timeout] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def open(self, peer: str, actor: Actor | None) -> AsyncIterator[None]:
        """Hold a slot of the address and of the user during the block, and cancel it when the service stops.

        Raises Overloaded, ServiceStopping.
        """
        if self._ended:
            raise ServiceStopping
        address, user = self._pools.address(peer), user_key(actor)
        limit = asyncio.timeout(None)
        with self._pools.streams.slot(address), self._pools.user_streams.slot(user):
            try:
                async with limit:
                    self._open.add(limit)
                    yield
            except TimeoutError:
                if not limit.expired():
                    raise
                raise ServiceStopping from None
            finally:
                self._open.discard(limit)

    async def end(self) -> None:
        """End all streams, and from now on every new one."""
        self._ended = True
        if self._open:
            await asyncio.sleep(STREAM_GRACE_S)
        for limit in self._open:
            if not limit.expired():
                limit.reschedule(0)


class OpenStreamResponse(Response):
    """A streaming response of REST that counts as an open stream while it is sent."""

    def __init__(self, response: StreamingResponse, streams: OpenStreams) -> None:
        self._response = response
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response without a deadline; at a stop, end it as complete. Raises Overloaded."""
        request, content = context(), self._response.body_iterator
        request.deadline, request.streaming_since = 0.0, time.monotonic()
        peer = (scope.get("client") or ("",))[0]
        try:
            async with self._streams.open(peer, request.actor):
                await self._response(scope, receive, send)
        except ServiceStopping:
            if not request.status:  # 503 would keep an EventSource from connecting again
                start = {"status": self._response.status_code, "headers": self._response.raw_headers}
                await send({"type": "http.response.start", **start})
            with suppress(TimeoutError):  # the client reads nothing
                async with asyncio.timeout(STREAM_GRACE_S):
                    await send({"type": "http.response.body", "body": b""})
        finally:
            if isinstance(content, AsyncGenerator):
                await content.aclose()
