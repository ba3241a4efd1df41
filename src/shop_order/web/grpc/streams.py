"""Open streams, and how they end when the server stops."""

from __future__ import annotations

import asyncio

from grpc import StatusCode

from shop_order.pkg.grpc.admission import STOPPING
from shop_order.pkg.grpc.server import Handler
from shop_order.web.grpc.call import Call

GRACE_S = 0.2  # for streams to end by themselves


class OpenStreams:
    """The streams that are currently open.

    A stream handler takes a call, writes with `call.send`, and returns b"". When the server stops, handlers
    may return by themselves; otherwise callers receive UNAVAILABLE and reconnect to another instance.
    """

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    def end_at_stop(self, method: str, handler: Handler[Call]) -> Handler[Call]:
        """The interceptor that ends the stream when the server stops."""

        async def ending(call: Call) -> bytes:
            limit = asyncio.timeout(None)
            try:
                async with limit:
                    if self._ended:
                        limit.reschedule(0)
                    self._open.add(limit)
                    return await handler(call)
            except TimeoutError:
                if not limit.expired():
                    raise
            finally:
                self._open.discard(limit)
            call.code = StatusCode.UNAVAILABLE
            await call.context.abort(call.code, STOPPING, call.trailing())

        return ending

    async def end(self) -> None:
        """End all streams, and from now on every new one."""
        self._ended = True
        if self._open:
            await asyncio.sleep(GRACE_S)
        for limit in self._open:
            if not limit.expired():
                limit.reschedule(0)
