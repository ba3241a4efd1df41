"""The outermost layer of REST where traces are on: a request is a span of its caller's trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop_order.pkg.log import bind_fields
from shop_order.web.context import note
from shop_order.web.middleware.edge import single

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})  # probed every few seconds


class CurrentSpan:
    """A span a request, named after its route, with its trace in every log line."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
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

        about = {"http.request.method": scope["method"], "url.scheme": scope.get("scheme", "http")}
        with self._tracing.server(scope["method"], parent, state, about) as span:
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
                note(span)
