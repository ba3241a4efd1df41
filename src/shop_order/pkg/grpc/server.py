"""The server's machinery: handlers over raw bytes, links wrapped once per method, ports that are ours alone.

A link is a function that wraps a handler when the method is registered; a call then only awaits. Built-in
interceptors would be asked at every call, and would see a decoding error only after grpc has answered it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import grpc
import grpc.aio

from shop_order.pkg.listening import hang_up, stop_listening

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_CONCURRENT = 4096  # calls at once; beyond that grpc answers RESOURCE_EXHAUSTED
HANDSHAKE_MS = 10_000  # from connecting until HTTP/2 has begun; grpc's own 120 s are for nobody
IDLE_MS = 60_000  # without a call; who comes back connects again
PING_AFTER_MS, PING_TIMEOUT_MS = 30_000, 20_000  # whoever reads nothing any more answers no ping
_LEAST_PING_MS = 10_000
_HANDED_OVER_S = 0.1  # after that a call that grpc has read has reached its handler, or was refused

C = TypeVar("C")
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[C], Awaitable[bytes]]
Link = Callable[[str, Handler[C]], Handler[C]]


class CannotListen(RuntimeError):
    """The address is taken or not ours; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Paths of PEM files; with `client_ca` callers must show a certificate of it."""

    cert: str
    key: str
    client_ca: str | None = None


def chained(method: str, handler: Handler[C], links: Sequence[Link[C]]) -> Handler[C]:
    """The handler with its links around it, the first one outermost."""
    for link in reversed(links):
        handler = link(method, handler)
    return handler


def unary(make_call: Callable[[bytes, Context], C], handler: Handler[C]) -> grpc.RpcMethodHandler[Any, Any]:
    """A method that takes one message and answers one, both as bytes."""

    async def answer(body: bytes, context: Context) -> bytes:
        return await handler(make_call(body, context))

    return grpc.unary_unary_rpc_method_handler(answer)


def generic(service: str, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> grpc.GenericRpcHandler:
    """The methods of one service, by their short names."""
    return grpc.method_handlers_generic_handler(service, dict(methods))


class _Gate(grpc.GenericRpcHandler):
    """Finds a call's handler, and knows what runs; once closed, every new call is refused."""

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._handlers = tuple(handlers)
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._running = 0
        self._idle = asyncio.Event()
        self._closed = False

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Asked by grpc once a call."""
        if self._closed:
            return grpc.unary_unary_rpc_method_handler(_refuse)
        if known := self._known.get(details.method):
            return known
        for handler in self._handlers:
            if (found := handler.service(details)) is not None:
                self._known[details.method] = counted = self._counted(found)
                return counted
        return None

    async def close(self, grace_s: float) -> None:
        """Refuse, until those that run are answered, at most so long."""
        self._closed = True
        await asyncio.sleep(min(_HANDED_OVER_S, grace_s))
        self._idle.clear()
        if self._running:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_s)

    def _counted(self, found: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        make: Any = grpc.unary_unary_rpc_method_handler
        answer: Any = found.unary_unary
        if answer is None:
            make, answer = grpc.unary_stream_rpc_method_handler, found.unary_stream
        if answer is None:
            return found  # the caller's stream is no command

        async def counted(request: Any, context: Any) -> Any:
            self._running += 1
            context.add_done_callback(self._answered)
            return await answer(request, context)

        handler: grpc.RpcMethodHandler[Any, Any] = make(
            counted, found.request_deserializer, found.response_serializer
        )
        return handler

    def _answered(self, servicer_context: Context) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()


async def _refuse(body: bytes, context: Context) -> bytes:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "the service is stopping")


class GrpcServer:
    """One port with its services; it takes the port exclusively."""

    def __init__(
        self,
        address: str,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        tls: ServerTls | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """`address` is host:port, port 0 for any free one."""
        self._address = address
        self._gate = _Gate(handlers)
        self._tls = tls
        self._max_message_bytes = max_message_bytes
        self._server: grpc.aio.Server | None = None
        self._port = 0

    async def start(self) -> int:
        """Listen and serve; the port. Raises CannotListen, OSError (TLS files)."""
        _require_free(self._address)
        server = grpc.aio.server(options=self._options(), maximum_concurrent_rpcs=MAX_CONCURRENT)
        server.add_generic_rpc_handlers((self._gate,))
        try:
            if self._tls is None:
                port = server.add_insecure_port(self._address)
            else:
                port = server.add_secure_port(self._address, _credentials(self._tls))
        except RuntimeError as error:
            raise CannotListen(_refusal(self._address)) from error
        await server.start()
        self._server, self._port = server, port
        return port

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, wait for those that run, at most `grace_s`."""
        if self._server is not None:
            ends = monotonic() + grace_s
            stop_listening(self._port)
            await self._gate.close(grace_s)
            # From its stop on grpc cancels what callers send before they have read that it stops, and who is
            # told CANCELLED does not try again. Of a connection that ends they make UNAVAILABLE.
            hang_up(self._port)
            await self._server.stop(max(ends - monotonic(), 0.0))

    async def wait_closed(self) -> None:
        """Until it was stopped."""
        if self._server is not None:
            await self._server.wait_for_termination()

    def _options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._max_message_bytes),
            ("grpc.max_send_message_length", self._max_message_bytes),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            ("grpc.keepalive_time_ms", PING_AFTER_MS),
            ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_MS),
            ("grpc.keepalive_permit_without_calls", 1),
        ]


def _require_free(address: str) -> None:
    """Try the port before grpc does, which would print lines of its own. Raises CannotListen."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ):
            pass
    except OSError as error:
        raise CannotListen(_refusal(address)) from error


def _refusal(address: str) -> str:
    return f"can't listen on {address}: the port is taken or not ours"


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    pair = (Path(tls.key).read_bytes(), Path(tls.cert).read_bytes())
    client_ca = Path(tls.client_ca).read_bytes() if tls.client_ca else None
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)
