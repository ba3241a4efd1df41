"""The standard health service (grpc.health.v1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from shop_order.web.context import RequestContext
from shop_order.web.grpc.chain import Call, Methods, parse
from shop_order.web.grpc.streams import server_stream

SERVICE = "grpc.health.v1.Health"


class Health:
    """The serving status, which all our services share.

    Not grpcio's own servicer: it holds a lock while it writes to a watcher, so that a watcher that does not
    read would block the others and the shutdown.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._serving = True
        self._stopping = False
        self._changed = asyncio.Event()

    def methods(self) -> Methods:
        """The methods of the service."""
        watch = server_stream(HealthCheckRequest, self.watch)
        return Methods(SERVICE, unary={"Check": self.check}, server_streams={"Watch": watch})

    def report(self, *, serving: bool) -> None:
        """Set the status to SERVING or NOT_SERVING."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Report NOT_SERVING and end all watches."""
        self._stopping = True
        self.report(serving=False)

    async def check(self, call: Call) -> bytes:
        """The current status, also while stopping; NOT_FOUND for an unknown service."""
        status = self._status(parse(HealthCheckRequest, call.body))
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            call.code = StatusCode.NOT_FOUND
            await call.context.abort(call.code, "no such service", call.trailing())
        response: bytes = HealthCheckResponse(status=status).SerializeToString()
        return response

    async def watch(
        self, request: HealthCheckRequest, context: RequestContext
    ) -> AsyncGenerator[HealthCheckResponse, None]:
        """Send every change of the status until the caller cancels or the server stops."""
        sent = None
        while True:
            changed = self._changed
            if (status := self._status(request)) != sent:
                yield HealthCheckResponse(status=status)
                sent = status
            if self._stopping:
                return
            await changed.wait()

    def _status(self, request: HealthCheckRequest) -> HealthCheckResponse.ServingStatus:
        if request.service not in self._services:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING
