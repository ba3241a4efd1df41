"""Channels to other services, and the metadata of every call.

No client interceptors: in grpc.aio they cost a task per call.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio

from shop_order.pkg.tracing import Origin, is_recorded, origin

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_IDS = 8  # of requests in a call, for the callee's log
_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),  # only callers know which calls may be repeated
)

Request = TypeVar("Request")
Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]
TokenSource = Callable[[], str]  # the current bearer token; an empty text sends none


class FileToken:
    """Returns the token in a file, which is read again after a second."""

    def __init__(self, path: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._monotonic_s = monotonic_s
        self._read_s = float("-inf")
        self._token: str | None = None

    def __call__(self) -> str:
        """Return the current token. Raises OSError if the file could never be read."""
        now_s = self._monotonic_s()
        if now_s - self._read_s >= 1.0:
            try:
                self._token = self._path.read_text(encoding="utf-8").strip()
            except OSError:
                if self._token is None:
                    raise
                # The file is being replaced: keep the former token.
            self._read_s = now_s
        return self._token or ""


def open_channel(target: str) -> grpc.aio.Channel:
    """Return a channel, which connects and reconnects by itself. The caller closes it."""
    return grpc.aio.insecure_channel(target, options=_OPTIONS)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Calls another service with our token, a request id, a deadline and, with tracing, the trace.

    `timeout_s` is called for every call, since it may be reloaded.
    """

    token: TokenSource
    timeout_s: Callable[[], float]
    tracing: "Tracing | None" = None
    address: str = ""

    def at(self, address: str) -> "Neighbour":
        """Return a copy with this address."""
        return replace(self, address=address)

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        origins: Sequence[Origin] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Return the method's response. Raises grpc.aio.AioRpcError.

        `timeout_s` is the rest of the caller's deadline (negative if passed); the shorter timeout applies.
        `origins` are the requests this call serves, by default the one of this task.
        """
        limit_s = self.timeout_s()
        limit_s = limit_s if timeout_s is None else min(limit_s, timeout_s)
        if origins is None:
            origins = (origin(),)
        ids = [request.request_id for request in origins if request.request_id]
        metadata = call_metadata(self.token(), ",".join(ids[:MAX_IDS]))
        traceparents = [request.traceparent for request in origins if request.traceparent]
        if self.tracing is None or not traceparents:
            return await method(request, timeout=limit_s, metadata=metadata)
        recorded = [traceparent for traceparent in traceparents if is_recorded(traceparent)]
        if not recorded:
            metadata += (("traceparent", traceparents[0]),)
            return await method(request, timeout=limit_s, metadata=metadata)
        name, attributes = span_of(method)
        with self.tracing.client(name, recorded, attributes) as span:
            try:
                return await method(request, timeout=limit_s, metadata=metadata + span.headers())
            except grpc.aio.AioRpcError as failed:
                span.set("rpc.grpc.status_code", failed.code().value[0])
                raise


def call_metadata(token: str, request_id: str) -> Metadata:
    """Return the metadata of a call, without an empty token or id."""
    authorization = (("authorization", f"Bearer {token}"),) if token else ()
    return (*authorization, ("x-request-id", request_id)) if request_id else authorization


def span_of(method: object) -> tuple[str, dict[str, str]]:
    """Return name and attributes of a call's span. grpc has no public attribute for a method's name."""
    path = getattr(method, "_method", b"")
    name = (path.decode() if isinstance(path, bytes) else str(path)).strip("/")
    service, _, short = name.rpartition("/")
    return name, {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}
