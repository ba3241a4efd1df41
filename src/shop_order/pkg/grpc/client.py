"""Channels to other services, and the metadata of every call.

No client interceptors: in grpc.aio they cost a task per call.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from shop_order.pkg.tracing import Origin, is_recorded, origin

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_IDS = 8
_KEEPALIVE_MS = 30_000
_MAX_BACKOFF_MS = 2_000

Request = TypeVar("Request")
Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]
TokenSource = Callable[[], str]  # the current bearer token; an empty text sends none


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM bytes: the servers' CA (None is the system's), and our pair for mutual TLS."""

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None


class FileToken:
    """The token in a file, which is checked for changes once a second."""

    def __init__(self, path: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._monotonic_s = monotonic_s
        self._checked_s = float("-inf")
        self._state: tuple[int, int, int] | None = None
        self._token = ""

    def __call__(self) -> str:
        """The current token. Raises OSError if the file could never be read."""
        now_s = self._monotonic_s()
        if now_s - self._checked_s >= 1.0:
            try:
                self._reload()
            except OSError:
                if self._state is None:
                    raise
                # The file is being replaced: keep the former token.
            self._checked_s = now_s
        return self._token

    def _reload(self) -> None:
        state = os.stat(self._path)
        identity = (state.st_mtime_ns, state.st_size, state.st_ino)
        if identity != self._state:
            self._token = self._path.read_text(encoding="utf-8").strip()
            self._state = identity


def open_channel(
    target: str, tls: ClientTls | None = None, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """Return a channel, which connects and reconnects by itself. The caller closes it."""
    options = _options(tls, max_message_bytes)
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, _credentials(tls), options=options)


class Neighbour:
    """Calls another service with our token, a request id, a deadline and, with tracing, the trace."""

    def __init__(
        self, token: TokenSource, timeout_s: Callable[[], float], tracing: "Tracing | None" = None
    ) -> None:
        """`timeout_s` is called for every call, since it may be reloaded."""
        self._token = token
        self._timeout_s = timeout_s
        self._tracing = tracing
        self.address = ""

    def at(self, address: str) -> "Neighbour":
        """Return the same with an address."""
        one = Neighbour(self._token, self._timeout_s, self._tracing)
        one.address = address
        return one

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        origins: Sequence[Origin] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Return the method's answer. Raises grpc.aio.AioRpcError.

        `timeout_s` is the rest of the caller's deadline (negative if passed); the shorter timeout applies.
        `origins` are the requests this call serves, by default the one of this task.
        """
        limit_s = self._timeout_s()
        limit_s = limit_s if timeout_s is None else min(limit_s, timeout_s)
        asked = (origin(),) if origins is None else origins
        metadata = call_metadata(self._token(), joined_ids(asked))
        traced = [one.traceparent for one in asked if one.traceparent] if self._tracing else None
        if self._tracing is None or not traced:
            return await method(request, timeout=limit_s, metadata=metadata)
        recorded = [traceparent for traceparent in traced if is_recorded(traceparent)]
        if not recorded:
            metadata += (("traceparent", traced[0]),)
            return await method(request, timeout=limit_s, metadata=metadata)
        name, about = named(method)
        with self._tracing.client(name, recorded, about) as span:
            try:
                return await method(request, timeout=limit_s, metadata=metadata + span.headers())
            except grpc.aio.AioRpcError as failed:
                span.set("rpc.grpc.status_code", failed.code().value[0])
                raise


def call_metadata(token: str, request_id: str) -> Metadata:
    """Return the metadata of a call, without an empty token or id."""
    carried = []
    if token:
        carried.append(("authorization", f"Bearer {token}"))
    if request_id:
        carried.append(("x-request-id", request_id))
    return tuple(carried)


def joined_ids(origins: Sequence[Origin]) -> str:
    """Return the ids of the requests that a call serves, for the callee's log."""
    return ",".join([one.request_id for one in origins if one.request_id][:MAX_IDS])


def named(method: object) -> tuple[str, dict[str, str]]:
    """Return name and attributes of a call's span; grpc has no public attribute for a method's name."""
    path = getattr(method, "_method", b"")
    name = (path.decode() if isinstance(path, bytes) else str(path)).strip("/")
    service, _, short = name.rpartition("/")
    return name, {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}


def _options(tls: ClientTls | None, max_message_bytes: int) -> Sequence[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", _MAX_BACKOFF_MS),
        # Retries are the caller's decision: only it knows which calls may be repeated.
        ("grpc.enable_retries", 0),
    ]
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca, private_key=tls.key, certificate_chain=tls.cert
    )
