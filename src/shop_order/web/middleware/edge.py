"""ASGI middleware of every REST request: log, trace, headers, unexpected errors, HEAD, body size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop_order.domain.errors import HeadersTooLarge, InvalidArgument, OrderServiceError
from shop_order.pkg.http.protocol import REFUSED
from shop_order.web.context import (
    Observe,
    RequestContext,
    RequestLog,
    accepted_request_id,
    context,
    enter,
    server_span,
)
from shop_order.web.handler.errors import failure, refusal
from shop_order.web.messages import INTERNAL_CODE, accepted_language, plain_error_text

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})  # probed every few seconds
_REFUSALS: Mapping[int, OrderServiceError] = {
    400: InvalidArgument("request", "invalid_http"),
    431: HeadersTooLarge(),
}


class Edge:
    """The outermost layer: request id, language, security headers, log line, measurement."""

    def __init__(
        self, app: ASGIApp, *, log: RequestLog, observe: Observe, deadline_s: Callable[[], float]
    ) -> None:
        self._app = app
        self._log = log
        self._observe = observe
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.monotonic()
        context = self._enter(scope, started)

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                _add_headers(MutableHeaders(scope=message), context.request_id)
            await send(message)

        try:
            await self._app(scope, receive, respond)
        finally:
            self._record(scope, context, started)

    def _enter(self, scope: Scope, started: float) -> RequestContext:
        headers = Headers(scope=scope)
        context = RequestContext(
            request_id=accepted_request_id(single(headers, "x-request-id")),
            language=accepted_language(single(headers, "accept-language")),
            deadline=started + self._deadline_s(),
        )
        enter(context)
        return context

    def _record(self, scope: Scope, context: RequestContext, started: float) -> None:
        route, now = route_of(scope), time.monotonic()
        # Of a stream, only the time to its beginning is a duration to compare.
        self._observe(route, str(context.status), (context.streaming_since or now) - started)
        self._log.info(
            "request",
            route=route,
            status=context.status,
            ms=round((now - started) * 1000, 2),
            user_id=context.actor.user_id if context.actor else 0,
            **({"error": context.failure} if context.failure else {}),
        )


def single(headers: Headers, name: str) -> str:
    """The value of a header; empty if it is missing or repeated, as in gRPC."""
    sent = headers.getlist(name)
    return sent[0] if len(sent) == 1 else ""


def route_of(scope: Scope) -> str:
    """The method and path template of the route, for metrics and logs."""
    # Never the path itself: callers could create any number of metric series.
    path = getattr(scope.get("route"), "path", "") or "(no route)"
    return f"{scope['method']} {path}" if path != "(no route)" else path


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-ID"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Content-Security-Policy", API_POLICY)
    headers.setdefault("Cache-Control", "no-store")


class Recovery:
    """Return 500 for unexpected errors, the headers of GET for HEAD, and an error for invalid HTTP."""

    def __init__(self, app: ASGIApp, *, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if refused := scope.get(REFUSED):
            return await refusal(_REFUSALS[refused])(scope, receive, send)
        try:
            if scope["method"] == "HEAD":
                await self._headers_only(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except ClientDisconnect:  # the caller hung up in the middle of the body
            await refusal(_REFUSALS[400])(scope, receive, send)
        except Exception:  # noqa: BLE001 - the transport's edge
            self._log.exception("request failed", route=route_of(scope))
            if not context().status:
                text = plain_error_text(INTERNAL_CODE, context().language)
                await failure(500, INTERNAL_CODE, text)(scope, receive, send)

    async def _headers_only(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headers_only(message: Message) -> None:
            scope["method"] = "HEAD"
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            raise _HeadersSent  # so that no body is produced

        context().head = True
        scope["method"] = "GET"
        try:
            await self._app(scope, receive, headers_only)
        except _HeadersSent:
            pass
        finally:
            scope["method"] = "HEAD"


class _HeadersSent(Exception):
    """Ends a HEAD request."""


class BodyLimit:
    """Refuse bodies that are too large with 413, whatever their headers announce."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = single(Headers(scope=scope), "content-length")
        announced = int(length) if length.isdecimal() else 0
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            # HTTPException, because FastAPI turns any other exception from reading a body into 400.
            if announced > self._max_bytes:
                raise HTTPException(413)  # before 100 Continue is sent
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


class CurrentSpan:
    """Record a span for every request, named after its route, and add its trace id to all log lines."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        trace = {
            "traceparent": single(headers, "traceparent"),
            "tracestate": headers.get("tracestate", ""),
        }
        status = 0

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        attributes = {"http.request.method": scope["method"], "url.scheme": scope.get("scheme", "http")}
        with server_span(self._tracing, scope["method"], trace, attributes) as span:
            try:
                await self._app(scope, receive, respond)
            finally:
                if route := getattr(scope.get("route"), "path", ""):
                    span.rename(f"{scope['method']} {route}")
                    span.set("http.route", route)
                span.set("http.response.status_code", status)
                if status >= 500 or not status:
                    span.failed(str(status or "no response"))
