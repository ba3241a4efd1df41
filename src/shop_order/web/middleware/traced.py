"""The outermost middleware if tracing is on: each request is a span in its caller's trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop_order.pkg.log import bind_fields
from shop_order.web.context import annotate_span
from shop_order.web.middleware.edge import single

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})  # probed every few seconds


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
        parent, state = single(headers, "traceparent"), headers.get("tracestate", "")
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        attributes = {"http.request.method": scope["method"], "url.scheme": scope.get("scheme", "http")}
        with self._tracing.server(scope["method"], parent, state, attributes) as span:
            bind_fields(trace_id=span.trace_id)
            try:
                await self._app(scope, receive, answer)
            finally:
                if route := getattr(scope.get("route"), "path", ""):
                    span.rename(f"{scope['method']} {route}")
                    span.set("http.route", route)
                span.set("http.response.status_code", status)
                if status >= 500 or not status:
                    span.failed(str(status or "no answer"))
                annotate_span(span)
