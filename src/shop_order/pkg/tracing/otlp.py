"""Spans of OpenTelemetry, sent by OTLP over gRPC. Imported only where traces are on (extra `otel`).

No instrumentation package: its gRPC interceptor alone costs 100 µs a call, and does not know that calls of
several requests travel together. Providers are not global: two services in one process keep their own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shop_order.pkg.tracing import PARENT_SAMPLER, CurrentSpan, TraceConfig, current_span
from shop_order.pkg.version import version

QUEUE, BATCH = 8192, 512  # spans; what finds the queue full is lost
EVERY_MS = 1_000
SEND_S = 5.0
CLOSE_S = 3.0
_W3C = TraceContextTextMapPropagator()
# It warns of headers that are too long, and callers write no log lines.
logging.getLogger("opentelemetry.trace.propagation.tracecontext").setLevel(logging.ERROR)
_NOBODY = Context()

Attributes = Mapping[str, str | int | float | bool]


class Span:
    """One span: current for what runs inside its `with` block, and ended after it.

    An exception marks it as failed, unless it is a server's span, whose failure is decided by the status.
    """

    __slots__ = ("_token", "recorded", "status_decides", "traceparent")

    def __init__(self, span: OtelSpan, *, status_decides: bool) -> None:
        self.recorded = span
        self._token: Token[CurrentSpan | None] | None = None
        self.status_decides = status_decides
        of = span.get_span_context()
        self.traceparent = f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}"

    @property
    def trace_id(self) -> str:
        """As logs and search fields name the trace."""
        return self.traceparent[3:35]

    def carried(self) -> tuple[tuple[str, str], ...]:
        """The metadata, or headers, that let the callee continue the trace."""
        if state := self.recorded.get_span_context().trace_state:
            return (("traceparent", self.traceparent), ("tracestate", state.to_header()))
        return (("traceparent", self.traceparent),)

    def set(self, name: str, value: str | int) -> None:
        """Set an attribute; no personal data."""
        self.recorded.set_attribute(name, value)

    def rename(self, name: str) -> None:
        """Change its name."""
        self.recorded.update_name(name)

    def failed(self, why: str) -> None:
        """Mark it as failed; `why` is an error class or a status, not a text that may hold personal data."""
        self.recorded.set_status(Status(StatusCode.ERROR))
        self.recorded.set_attribute("error.type", why)

    def end(self) -> None:
        """End a span that is in no `with` block."""
        self.recorded.end()

    def __enter__(self) -> Self:
        self._token = current_span.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            current_span.reset(self._token)
        if kind is not None and not self.status_decides:
            self.failed(kind.__name__)
        self.recorded.end()


class Tracing:
    """The spans of one service, between `open` and `close`."""

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
        """Begin to export. An unreachable collector is no error: spans wait, then are dropped and counted."""
        scheme = "https" if self._tls else "http"
        exporter = OTLPSpanExporter(f"{scheme}://{self._address}", insecure=not self._tls, timeout=SEND_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Counted(exporter, self._observe),
                max_queue_size=QUEUE,
                schedule_delay_millis=EVERY_MS,
                max_export_batch_size=BATCH,
            )
        )

    async def close(self) -> None:
        """Export what is queued, for CLOSE_S at most."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True, name="traces-end")
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_S)

    def span(self, name: str) -> Span:
        """A child of the current span, inside the service."""
        return self._start(name, SpanKind.INTERNAL)

    def server(self, name: str, parent: str, state: str, attributes: Attributes | None = None) -> Span:
        """A span of a request; `parent` and `state` are what its caller sent, empty if nothing."""
        return self._start(name, SpanKind.SERVER, parent, state=state, attributes=attributes)

    def client(self, name: str, parents: Sequence[str], attributes: Attributes) -> Span:
        """A span of a call made for several requests: a child of the first one, linked to the others."""
        return self._start(name, SpanKind.CLIENT, parents[0], links=parents[1:], attributes=attributes)

    def producer(self, name: str, parent: str, attributes: Attributes) -> Span:
        """A span of a message that is sent because of what `parent` did."""
        return self._start(name, SpanKind.PRODUCER, parent, attributes=attributes)

    def consumer(self, name: str, parent: str, attributes: Attributes) -> Span:
        """A span of a message that came with this `traceparent`."""
        return self._start(name, SpanKind.CONSUMER, parent, attributes=attributes)

    def ended(self, name: str, began_ns: int, attributes: Attributes) -> None:
        """A finished span in a trace of its own, of what began at `began_ns` (epoch)."""
        span = self._tracer.start_span(name, _NOBODY, SpanKind.INTERNAL, attributes, start_time=began_ns)
        span.end()

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
        """Below `parent` (empty or unreadable begins a trace), or below the current one."""
        above = current_span.get() if parent is None else None
        if isinstance(above, Span):
            context = set_span_in_context(above.recorded, _NOBODY)
        else:
            context = context_of(parent or "", state)
        others = (get_current_span(context_of(text)).get_span_context() for text in links)
        linked = [Link(other) for other in others if other.is_valid]
        span = self._tracer.start_span(name, context, kind, attributes, linked)
        return Span(span, status_decides=kind is SpanKind.SERVER)


def context_of(traceparent: str, state: str = "") -> Context:
    """The context of a span elsewhere; an empty one if `traceparent` is not valid (W3C trace context)."""
    carried = {"traceparent": traceparent} | ({"tracestate": state} if state else {})
    return _W3C.extract(carried, _NOBODY)


class _Counted(SpanExporter):
    """Counts spans that were sent, and those that were lost."""

    def __init__(self, exporter: SpanExporter, observe: Callable[[str, int], None]) -> None:
        self._exporter = exporter
        self._observe = observe

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._observe("sent" if result is SpanExportResult.SUCCESS else "lost", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
