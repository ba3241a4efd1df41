"""A log line per call attempt (specification 9.4, LoggingInterceptor)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import grpc.aio

LOGGER = "shop_order.client"

_FAILURES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
}


class LoggingInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Logs method, code, duration and request id to `shop_order.client`; never tokens or messages.

    The level is INFO for responses and refusals, WARNING if the service or the connection failed.
    """

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Log the outcome of the call."""
        started_s = time.perf_counter()
        call = await continuation(client_call_details, request)
        code = grpc.StatusCode.CANCELLED
        try:
            code = await call.code()
        except asyncio.CancelledError:
            call.cancel()  # cancelling `code()` does not cancel the call
            raise
        finally:
            _log(client_call_details, code, time.perf_counter() - started_s)
        return call


class SyncLoggingInterceptor(grpc.UnaryUnaryClientInterceptor):
    """The same for programs without an event loop."""

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Log the outcome of the call."""
        started_s = time.perf_counter()
        call = continuation(client_call_details, request)
        _log(client_call_details, call.code(), time.perf_counter() - started_s)
        return call


def _log(details: Any, code: grpc.StatusCode, took_s: float) -> None:
    level = logging.WARNING if code in _FAILURES else logging.INFO
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    logging.getLogger(LOGGER).log(
        level,
        "%s %s %.1f ms request_id=%s",
        method,
        code.name,
        took_s * 1000,
        _request_id(details.metadata or ()),
    )


def _request_id(metadata: Iterable[Any]) -> str:
    return next((str(value) for name, value in metadata if name == "x-request-id"), "-")
