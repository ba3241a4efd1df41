"""Tracing: its set-up, and spans around the ports of use cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar, cast

from shop_order.configs import Settings
from shop_order.pkg.log import with_fields
from shop_order.pkg.message import Delivery
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.tracing import TraceConfig, current_span, is_recorded, open_tracing
from shop_order.web.context import accepted_request_id

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

T = TypeVar("T")


def tracing(settings: Settings, metrics: Metrics) -> Tracing | None:
    """Return the tracing of `TRACE__URL`; None if it is off."""
    trace = settings.trace
    config = TraceConfig(trace.url, "order-service", settings.app.env, trace.sampler, trace.ratio)
    return open_tracing(config, metrics.spans)


def trace_port(tracing: Tracing | None, name: str, port: T) -> T:
    """Return the port; with tracing, each call becomes a span below its caller's."""
    return port if tracing is None else cast(T, _TracedPort(tracing, name, port))


@contextmanager
def processing(tracing: Tracing | None, delivery: Delivery) -> Iterator[None]:
    """Continue the request id of a message and its trace."""
    carried = delivery.properties
    with ExitStack() as stack:
        # Any producer can set it, and an invalid id would not fit into the outbox.
        fields = {"request_id": accepted_request_id(carried.get("x-request-id"))}
        if tracing is not None:
            about = {"messaging.operation.type": "process", "shop.order_sn": delivery.key}
            name = f"process {delivery.tag}"
            span = stack.enter_context(tracing.consumer(name, carried.get("traceparent", ""), about))
            fields["trace_id"] = span.trace_id
        stack.enter_context(with_fields(**fields))
        yield


class _TracedPort:
    def __init__(self, tracing: Tracing, name: str, port: Any) -> None:
        self._tracing = tracing
        self._name = name
        self._port = port

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._port, attribute)
        if not iscoroutinefunction(method):
            return method
        name = f"{self._name}.{attribute}"

        async def call(*values: Any, **named: Any) -> Any:
            parent = current_span.get()
            if parent is None or not is_recorded(parent.traceparent):
                return await method(*values, **named)  # else scans of jobs would create empty traces
            with self._tracing.span(name):
                return await method(*values, **named)

        self.__dict__[attribute] = call  # cached
        return call
