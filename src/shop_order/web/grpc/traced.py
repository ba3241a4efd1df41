"""The outermost interceptor if tracing is on: each call is a span in its caller's trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc import StatusCode

from shop_order.pkg.grpc.server import Handler, Interceptor
from shop_order.pkg.log import bind_fields
from shop_order.web.context import annotate_span
from shop_order.web.grpc.call import Call

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

SERVER_ERRORS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
"""Codes that mark the span as failed; all others are the caller's errors."""


def traced(tracing: Tracing) -> Interceptor[Call]:
    """Record a span for every call, and add its trace id to all log lines."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        name = method.removeprefix("/")
        service, _, short = name.rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}

        async def in_span(call: Call) -> bytes:
            metadata = call.metadata
            parent, state = metadata.get("traceparent", ""), metadata.get("tracestate", "")
            with tracing.server(name, parent, state, attributes) as span:
                bind_fields(trace_id=span.trace_id)
                try:
                    return await handler(call)
                finally:
                    span.set("rpc.grpc.status_code", call.code.value[0])
                    if call.code in SERVER_ERRORS:
                        span.failed(call.code.name)
                    annotate_span(span)

        return in_span

    return wrap
