"""Streams: the innermost link of their chain, which ends them when the server stops."""

from __future__ import annotations

import asyncio

from grpc import StatusCode

from shop_order.pkg.grpc.admission import STOPPING
from shop_order.pkg.grpc.server import Handler
from shop_order.web.grpc.call import Call

LAST_WORD_S = 0.2  # for a stream to end by itself


class OpenStreams:
    """The streams that are open now.

    A stream's handler takes a call, writes with `call.send`, and returns b"". At a stop it may end by itself;
    if it does not, its caller is told UNAVAILABLE and goes on at another instance.
    """

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    def link(self, method: str, handler: Handler[Call]) -> Handler[Call]:
        """Runs the handler until it, the caller or the server ends the stream."""

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
        """End every stream, and from now on each new one."""
        self._ended = True
        if self._open:
            await asyncio.sleep(LAST_WORD_S)
        for limit in self._open:
            if not limit.expired():
                limit.reschedule(0)
