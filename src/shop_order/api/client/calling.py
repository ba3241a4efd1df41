"""Shared by both clients: channels, metadata and the retry policy."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from shop_order.api.client.errors import OrderApiError

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
Token = str | Callable[[], str]
Trace = Callable[[], tuple[tuple[str, str], ...]]  # trace metadata of a call

CHANNEL_OPTIONS = (
    # Without a retry policy gRPC retries only calls that no server has seen, as when a proxy reloads.
    # All other retries are up to `Retry`.
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Retry:
    """The retry policy: number of attempts, and exponential backoff with full jitter."""

    attempts: int = 4
    first_s: float = 0.05
    most_s: float = 2.0

    def pause_s(self, error: OrderApiError, attempt: int, left_s: float) -> float | None:
        """Seconds to wait after this attempt (from 1); None to stop.

        At least the service's own `retry_after_s`; stops if the pause would exceed the deadline.
        """
        overloaded = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after_s is not None
        if attempt >= self.attempts or not (error.code is grpc.StatusCode.UNAVAILABLE or overloaded):
            return None
        ceiling_s = min(self.first_s * 2 ** (attempt - 1), self.most_s)
        pause_s = (error.retry_after_s or 0.0) + random.uniform(0, ceiling_s)  # noqa: S311 - not a secret
        return pause_s if pause_s < left_s else None


def new_key() -> str:
    """A unique idempotency key."""
    return secrets.token_urlsafe(18)


def new_request_id() -> str:
    """A request id, shared by all attempts of a call."""
    return secrets.token_hex(12)


def metadata(
    token: Token | None, request_id: str, key: str, language: str, trace: tuple[tuple[str, str], ...] = ()
) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    carried = [("x-request-id", request_id), *trace]
    if bearer := token() if callable(token) else token:
        carried.append(("authorization", f"Bearer {bearer}"))
    if key:
        carried.append(("idempotency-key", key))
    if language:
        carried.append(("accept-language", language))
    return tuple(carried)


def credentials(cert_file: str, client_cert: tuple[str, str] | None) -> grpc.ChannelCredentials:
    """TLS credentials: the server's CA (empty: the system's), and our certificate and key.

    Raises OSError.
    """
    ca = Path(cert_file).read_bytes() if cert_file else None
    if client_cert is None:
        return grpc.ssl_channel_credentials(ca)
    chain, key = (Path(path).read_bytes() for path in client_cert)
    return grpc.ssl_channel_credentials(ca, key, chain)


def open_channel(
    target: str, secure: grpc.ChannelCredentials | None, interceptors: Sequence[grpc.aio.ClientInterceptor]
) -> grpc.aio.Channel:
    """A channel that connects on the first call; plain text without credentials."""
    if secure is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS, interceptors=interceptors)
    return grpc.aio.secure_channel(target, secure, options=CHANNEL_OPTIONS, interceptors=interceptors)


def open_sync_channel(
    target: str,
    secure: grpc.ChannelCredentials | None,
    interceptors: Sequence[grpc.UnaryUnaryClientInterceptor],
) -> grpc.Channel:
    """The same for programs without an event loop."""
    if secure is None:
        channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    else:
        channel = grpc.secure_channel(target, secure, options=CHANNEL_OPTIONS)
    return grpc.intercept_channel(channel, *interceptors)
