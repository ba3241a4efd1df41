"""The outermost link where traces are on: a call is a span of its caller's trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc import StatusCode

from shop_order.pkg.grpc.server import Handler, Middleware
from shop_order.pkg.log import bind_fields
from shop_order.web.context import note
from shop_order.web.grpc.call import Call

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

OURS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
"""What counts as a failure of the server; the others are the caller's business."""


def traced(tracing: Tracing) -> Middleware[Call]:
    """A span a call, its trace in every log line, and in its answer's outcome no more than the status."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        name = method.removeprefix("/")
        service, _, short = name.rpartition("/")
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": short}

        async def in_span(call: Call) -> bytes:
            carried = call.metadata
            parent, state = carried.get("traceparent", ""), carried.get("tracestate", "")
            with tracing.server(name, parent, state, about) as span:
                bind_fields(trace_id=span.trace_id)
                try:
                    return await handler(call)
                finally:
                    span.set("rpc.grpc.status_code", call.code.value[0])
                    if call.code in OURS:
                        span.failed(call.code.name)
                    note(span)

        return in_span

    return link
