"""The gRPC server: handlers over raw bytes, with interceptors wrapped around each method once.

An interceptor wraps a handler when its method is registered, so a call only awaits. grpc's own ones run for
every call, and see a decoding error only after grpc has answered it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TypeVar

import grpc
import grpc.aio

from shop_order.pkg.grpc.admission import Gate, MethodHandler
from shop_order.pkg.sockets import close_connections, close_excess_connections, listen, stop_listening

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_STREAMS = 128  # open calls of one connection
MAX_CONNECTIONS = 1024
HANDSHAKE_MS = 10_000  # from connecting to HTTP/2; grpc's default is 120 s
IDLE_MS = 60_000  # without a call; clients reconnect
CHECK_INTERVAL_S = 1.0  # for clients with too many connections
_OPTIONS = (
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),  # detects peers that stopped reading
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

C = TypeVar("C")
Handler = Callable[[C], Awaitable[bytes]]
Interceptor = Callable[[str, Handler[C]], Handler[C]]


class CannotListen(RuntimeError):
    """The address is in use or not ours, or the transport is not installed; one line for the operator."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Paths of PEM files; with `client_ca`, clients must present a certificate signed by it."""

    cert: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class AddressBound:
    """The bound on connections per client (0: none), and the client of an address."""

    connections: Callable[[], int]
    counted: Callable[[str], str]


def with_interceptors(method: str, handler: Handler[C], interceptors: Sequence[Interceptor[C]]) -> Handler[C]:
    """Return the handler inside its interceptors, the first one outermost."""
    for interceptor in reversed(interceptors):
        handler = interceptor(method, handler)
    return handler


def chosen_transport(transport: str, tls: ServerTls | None) -> str:
    """Return the transport: `native` if requested and the port has no TLS, else `grpcio`.

    `auto` is grpcio; docs/decisions/transport.md says why. Raises CannotListen.
    """
    if transport != "native" or tls is not None:
        return "grpcio"
    if find_spec("pygrpc_native") is None:
        raise CannotListen(
            "SERVER__GRPC_TRANSPORT: native is not installed: pip install 'shop-order[native]'"
        )
    return "native"


class GrpcServer:
    """A port with its services, taken exclusively."""

    def __init__(
        self,
        address: str,
        services: Mapping[str, Mapping[str, MethodHandler]],
        *,
        transport: str = "auto",
        tls: ServerTls | None = None,
        max_connections: int = MAX_CONNECTIONS,
        address_bound: AddressBound | None = None,
    ) -> None:
        """`address` is host:port, port 0 for any free one; the native transport ignores `max_connections`.

        Raises CannotListen if the transport is missing.
        """
        self._address = address
        self._gate = Gate(services)
        self.transport = chosen_transport(transport, tls)
        self._tls = tls
        self._max_connections = max_connections
        self._address_bound = address_bound
        self._watching: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None
        self._port = 0

    async def start(self) -> int:
        """Listen and serve; return the port. Raises CannotListen, OSError (TLS files)."""
        _require_free(self._address)
        server = self._native() if self.transport == "native" else self._grpcio()
        try:
            if self._tls is None:
                port = server.add_insecure_port(self._address)
            else:
                port = server.add_secure_port(self._address, _credentials(self._tls))
        except RuntimeError as error:
            raise CannotListen(_refusal(self._address)) from error
        await server.start()
        self._server, self._port = server, port
        if self._address_bound is not None:
            self._watching = asyncio.create_task(self._keep_bound(self._address_bound))
        return port

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, and wait at most `grace_s` for running ones."""
        if self._server is not None:
            deadline_s = monotonic() + grace_s
            if self._watching is not None:
                self._watching.cancel()
            if self.transport == "grpcio":
                stop_listening(self._port)
            await self._gate.close(grace_s)
            if self.transport == "grpcio":
                # A stopping grpcio cancels calls of clients that have not seen GOAWAY, and CANCELLED is not
                # retried. A closed connection is UNAVAILABLE to them.
                close_connections(self._port)
            await self._server.stop(max(deadline_s - monotonic(), 0.0))

    async def _keep_bound(self, bound: AddressBound) -> None:
        """Enforce the bound, which no transport does: one address could take all connections."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if limit := bound.connections():
                await asyncio.to_thread(close_excess_connections, self._port, limit, bound.counted)

    def _grpcio(self) -> grpc.aio.Server:
        pending = MAX_STREAMS * self._max_connections
        options = [
            *_OPTIONS,
            # Calls waiting for our loop: above 1000, grpcio would cancel some at random.
            ("grpc.server.max_pending_requests", pending),
            ("grpc.server.max_pending_requests_hard_limit", pending),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            ("grpc.max_allowed_incoming_connections", self._max_connections),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ]
        server = grpc.aio.server(options=options)
        # Not registered by name: grpc.aio would then run a waiter per method for every call.
        server.add_generic_rpc_handlers((self._gate,))
        return server

    def _native(self) -> grpc.aio.Server:
        import pygrpc_native.aio

        server = pygrpc_native.aio.server(options=_OPTIONS)
        for service, methods in self._gate.registered().items():
            server.add_registered_method_handlers(service, dict(methods))
        return server


def _require_free(address: str) -> None:
    """Try the port before grpc does, which would print its own errors. Raises CannotListen."""
    host, _, port = address.rpartition(":")
    try:
        listen(host.strip("[]"), int(port)).close()
    except OSError as error:
        raise CannotListen(_refusal(address)) from error


def _refusal(address: str) -> str:
    return f"can't listen on {address}: the port is in use or not ours"


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    pair = (Path(tls.key).read_bytes(), Path(tls.cert).read_bytes())
    client_ca = Path(tls.client_ca).read_bytes() if tls.client_ca else None
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)
