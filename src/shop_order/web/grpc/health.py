"""The standard health service (grpc.health.v1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from google.protobuf.message import DecodeError
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from shop_order.domain.errors import InvalidArgument
from shop_order.web.grpc.call import Call, Methods

SERVICE = "grpc.health.v1.Health"


class Health:
    """Whether we serve, which is the same for every service of ours.

    grpcio's own servicer holds a lock while it writes to a watcher: one that does not read would keep the
    others, and the stop, waiting.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._serving = True
        self._stopping = False
        self._changed = asyncio.Event()

    def methods(self) -> Methods:
        """As they are registered."""
        return Methods(SERVICE, unary={"Check": self.check}, server_streams={"Watch": self.watch})

    def say(self, *, serving: bool) -> None:
        """SERVING or NOT_SERVING from now on."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Say NOT_SERVING for the last time, and end the watches."""
        self._stopping = True
        self.say(serving=False)

    async def check(self, call: Call) -> bytes:
        """Answers even while we stop; NOT_FOUND for a service that is not ours."""
        status = self._status(call)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            call.code = StatusCode.NOT_FOUND
            await call.context.abort(call.code, "no such service", call.trailing())
        return _answer(status)

    async def watch(self, call: Call) -> bytes:
        """Tells every change until the caller leaves, or we stop."""
        told = None
        while True:
            changed = self._changed
            if (status := self._status(call)) != told:
                await call.send(_answer(status))
                told = status
            if self._stopping:
                return b""
            await changed.wait()

    def _status(self, call: Call) -> HealthCheckResponse.ServingStatus:
        try:
            service = HealthCheckRequest.FromString(call.body).service
        except DecodeError:
            raise InvalidArgument("request", "malformed") from None
        if service not in self._services:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING


def _answer(status: HealthCheckResponse.ServingStatus) -> bytes:
    message: bytes = HealthCheckResponse(status=status).SerializeToString()
    return message
