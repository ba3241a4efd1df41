"""OpenTelemetry spans, exported by OTLP over gRPC. Imported only if tracing is on (extra `otel`).

No instrumentation package: its gRPC interceptor alone costs 100 µs a call, and can't link a call to the
several requests that it serves. Providers are not global: two services in one process have one each.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from typing import Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shop_order import version
from shop_order.pkg.tracing import PARENT_SAMPLER, CurrentSpan, TraceConfig, current_span

QUEUE, BATCH = 8192, 512  # spans; a full queue drops new ones
EXPORT_INTERVAL_MS = 1_000
SEND_S = 5.0
CLOSE_S = 3.0
_W3C = TraceContextTextMapPropagator()
# It logs a warning for each header that is too long: callers could fill the log.
logging.getLogger("opentelemetry.trace.propagation.tracecontext").setLevel(logging.ERROR)
_NO_PARENT = Context()

Attributes = Mapping[str, str | int | float | bool]


class Span:
    """A span; inside its `with` block it is the current one, and it ends with the block.

    An exception marks it as failed, except for a server's span, where the response status decides.
    """

    __slots__ = ("_recorded", "_status_decides", "_token", "traceparent")

    def __init__(self, span: OtelSpan, *, status_decides: bool) -> None:
        self._recorded = span
        self._token: Token[CurrentSpan | None] | None = None
        self._status_decides = status_decides
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    @property
    def trace_id(self) -> str:
        """The trace id, as in log lines."""
        return self.traceparent[3:35]

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers, or metadata, with which the callee continues the trace."""
        if state := self._recorded.get_span_context().trace_state:
            return (("traceparent", self.traceparent), ("tracestate", state.to_header()))
        return (("traceparent", self.traceparent),)

    def set(self, name: str, value: str | int) -> None:
        """Set an attribute, which must contain no personal data."""
        self._recorded.set_attribute(name, value)

    def rename(self, name: str) -> None:
        """Change the name."""
        self._recorded.update_name(name)

    def failed(self, why: str) -> None:
        """Mark it as failed; `why` is an error class or a status: texts may contain personal data."""
        self._recorded.set_status(Status(StatusCode.ERROR))
        self._recorded.set_attribute("error.type", why)

    def end(self) -> None:
        """End a span that is not used as a `with` block."""
        self._recorded.end()

    def __enter__(self) -> Self:
        self._token = current_span.set(self)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._token is not None:
            current_span.reset(self._token)
        if error is not None and not self._status_decides:
            self.failed(error.__name__)
        self._recorded.end()


class Tracing:
    """Creates the spans of a service, and exports them between `open` and `close`."""

    def __init__(
        self, config: TraceConfig, address: str, *, tls: bool, observe: Callable[[str, int], None]
    ) -> None:
        ratio = TraceIdRatioBased(config.ratio)
        resource = {
            "service.name": config.service,
            "service.version": version(),
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        }
        if config.environment:
            resource["deployment.environment.name"] = config.environment
        self._provider = TracerProvider(
            sampler=ParentBased(ratio) if config.sampler == PARENT_SAMPLER else ratio,
            resource=Resource.create(resource),
            shutdown_on_exit=False,
        )
        self._address, self._tls, self._observe = address, tls, observe
        self._tracer = self._provider.get_tracer("shop_order")

    def open(self) -> None:
        """Start exporting. While the collector is unreachable, spans are queued, then dropped and counted."""
        scheme = "https" if self._tls else "http"
        exporter = _CountingExporter(f"{scheme}://{self._address}", insecure=not self._tls, timeout=SEND_S)
        exporter.observe = self._observe
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE,
                schedule_delay_millis=EXPORT_INTERVAL_MS,
                max_export_batch_size=BATCH,
            )
        )

    async def close(self) -> None:
        """Export queued spans, for at most CLOSE_S."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True, name="traces-close")
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_S)

    def span(self, name: str) -> Span:
        """Start a child of the current span."""
        return self._start(name, SpanKind.INTERNAL)

    def server(self, name: str, parent: str, state: str, attributes: Attributes | None = None) -> Span:
        """Start the span of a request; `parent` and `state` are the caller's headers, or empty."""
        return self._start(name, SpanKind.SERVER, parent, state=state, attributes=attributes)

    def client(self, name: str, parents: Sequence[str], attributes: Attributes) -> Span:
        """Start the span of a call that serves these requests: a child of the first, linked to the others."""
        return self._start(name, SpanKind.CLIENT, parents[0], links=parents[1:], attributes=attributes)

    def producer(self, name: str, parent: str, attributes: Attributes) -> Span:
        """Start the span of sending a message on behalf of `parent`."""
        return self._start(name, SpanKind.PRODUCER, parent, attributes=attributes)

    def consumer(self, name: str, parent: str, attributes: Attributes) -> Span:
        """Start the span of processing a message that has this `traceparent`."""
        return self._start(name, SpanKind.CONSUMER, parent, attributes=attributes)

    def record(self, name: str, started_ns: int, attributes: Attributes) -> None:
        """Record a trace of one span, from `started_ns` (epoch) until now."""
        self._tracer.start_span(name, _NO_PARENT, attributes=attributes, start_time=started_ns).end()

    def _start(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None = None,
        *,
        state: str = "",
        links: Sequence[str] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """Start a child of `parent` (None: of the current span); an empty or invalid one starts a trace."""
        current = current_span.get() if parent is None else None
        if isinstance(current, Span):
            context = set_span_in_context(current._recorded, _NO_PARENT)
        else:
            context = context_of(parent or "", state)
        linked = (get_current_span(context_of(link)).get_span_context() for link in links)
        valid = [Link(target) for target in linked if target.is_valid]
        span = self._tracer.start_span(name, context, kind, attributes, valid)
        return Span(span, status_decides=kind is SpanKind.SERVER)


def context_of(traceparent: str, state: str = "") -> Context:
    """Return the context of a remote span (W3C trace context); an empty one if `traceparent` is invalid."""
    headers = {"traceparent": traceparent} | ({"tracestate": state} if state else {})
    return _W3C.extract(headers, _NO_PARENT)


class _CountingExporter(OTLPSpanExporter):
    observe: Callable[[str, int], None]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.observe("sent" if result is SpanExportResult.SUCCESS else "lost", len(spans))
        return result
