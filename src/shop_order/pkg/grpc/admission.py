"""Admits calls: once their message has arrived, and until the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import grpc
import grpc.aio

MESSAGE_WAIT_S = 10.0  # from a call's headers to its message
MAX_WAITING = 4096  # calls waiting for their message; one more ends the oldest
STOPPING = "the service is stopping"
_HAND_OVER_S = 0.1  # within which a call that grpc has read reaches its handler

Context = grpc.aio.ServicerContext[Any, Any]
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Gate(grpc.GenericRpcHandler):
    """All methods of a server; tracks running calls, and refuses new ones once closed.

    grpc.aio counts a call from its headers on. Here a call counts once its message has arrived: methods with
    one request are registered as streams, so that the wait for it can be bounded.
    """

    def __init__(self, services: Mapping[str, Mapping[str, MethodHandler]]) -> None:
        """Methods by full service name and short method name, over bytes."""
        self._services = services
        self._methods = {
            f"/{service}/{name}": self._admitted(method, reads=True)
            for service, methods in services.items()
            for name, method in methods.items()
        }
        self._waiting: dict[asyncio.Timeout, None] = {}  # the oldest first
        self._running = 0
        self._idle = asyncio.Event()
        self._closed = False

    def service(self, details: grpc.HandlerCallDetails) -> MethodHandler | None:
        """Look up a method, once per call of grpcio."""
        return self._methods.get(details.method)

    def registered(self) -> Mapping[str, Mapping[str, MethodHandler]]:
        """Return the methods for a transport that delivers calls with their message."""
        return {
            service: {name: self._admitted(method, reads=False) for name, method in methods.items()}
            for service, methods in self._services.items()
        }

    async def close(self, grace_s: float) -> None:
        """Refuse new calls and wait for running ones, at most `grace_s`; streams are not waited for."""
        self._closed = True
        await asyncio.sleep(min(_HAND_OVER_S, grace_s))
        self._idle.clear()
        if self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._idle.wait()

    def _admitted(self, method: MethodHandler, *, reads: bool) -> MethodHandler:
        """Return the method for registration; with `reads`, it reads a single request itself."""
        unary: Any = method.unary_unary
        streaming: Any = method.unary_stream or method.stream_stream
        reads = reads and method.stream_stream is None

        async def respond(request: Any, context: Context) -> bytes:
            body: bytes = await self._message(context) if reads else request
            if self._closed:
                await context.abort(grpc.StatusCode.UNAVAILABLE, STOPPING)
            self._running += 1
            context.add_done_callback(self._answered)  # type: ignore[arg-type]  # its own type has no name
            response: bytes = await unary(body, context)
            return response

        async def write_responses(request: Any, context: Context) -> None:
            message = await self._message(context) if reads else request
            if self._closed:
                await context.abort(grpc.StatusCode.UNAVAILABLE, STOPPING)
            await streaming(message, context)

        if unary is not None:
            register = grpc.stream_unary_rpc_method_handler if reads else grpc.unary_unary_rpc_method_handler
            return register(respond)
        if method.unary_stream is not None and not reads:
            return grpc.unary_stream_rpc_method_handler(write_responses)
        return grpc.stream_stream_rpc_method_handler(write_responses)

    async def _message(self, context: Context) -> bytes:
        timeout = asyncio.timeout(MESSAGE_WAIT_S)
        try:
            async with timeout:
                self._add_waiting(timeout)
                message: Any = await context.read()
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the call's message did not come in time")
        finally:
            self._waiting.pop(timeout, None)
        if message is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
        body: bytes = message
        return body

    def _add_waiting(self, timeout: asyncio.Timeout) -> None:
        self._waiting[timeout] = None
        if len(self._waiting) > MAX_WAITING:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            if not oldest.expired():
                oldest.reschedule(0)

    def _answered(self, _: object) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()
