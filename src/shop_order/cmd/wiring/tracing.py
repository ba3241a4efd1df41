"""Traces: from the settings to spans around what use cases call."""

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
    """The tracing that `TRACE__URL` names; None: no traces."""
    trace = settings.trace
    config = TraceConfig(trace.url, "order-service", settings.app.env, trace.sampler, trace.ratio)
    return open_tracing(config, metrics.spans)


def traced(tracing: Tracing | None, name: str, port: T) -> T:
    """The port; with tracing, every call of it becomes a span below its caller's."""
    return port if tracing is None else cast(T, _TracedPort(tracing, name, port))


@contextmanager
def processing(tracing: Tracing | None, delivery: Delivery) -> Iterator[None]:
    """Continue the request id of a message and, with tracing, its trace."""
    carried = delivery.properties
    with ExitStack() as stack:
        # Anybody who may write to the topic wrote it: a bad id would not fit into the outbox.
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
        found = getattr(self._port, attribute)
        if not iscoroutinefunction(found):
            return found
        name = f"{self._name}.{attribute}"

        async def call(*values: Any, **named: Any) -> Any:
            above = current_span.get()
            if above is None or not is_recorded(above.traceparent):
                return await found(*values, **named)  # a job's scan would make empty traces all the time
            with self._tracing.span(name):
                return await found(*values, **named)

        self.__dict__[attribute] = call  # looked up once
        return call
