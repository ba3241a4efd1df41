"""The standard health service; its watches end when the server stops, instead of holding it up."""

from __future__ import annotations

import asyncio

from grpc_health.v1 import health, health_pb2

from shop_order.pkg.grpc.server import Context

_LAST_WORD_S = 0.2  # time for NOT_SERVING to reach a watcher


class HealthState(health.aio.HealthServicer):  # type: ignore[misc]  # it comes without types
    """What health says of each service."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = asyncio.Event()

    def end_watches(self) -> None:
        """Let the watches say their last word and end."""
        self._ending.set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Tell every change until the caller leaves or the server stops."""
        watching = asyncio.ensure_future(super().Watch(request, context))
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({watching}, timeout=_LAST_WORD_S)
        finally:
            ending.cancel()
            watching.cancel()
