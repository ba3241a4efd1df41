"""A receiver of OTLP: what arrives is kept, so that a test reads traces as a collector would store them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Seen:
    """A span that arrived."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...] = field(default=())


class Collector(service.TraceServiceServicer):
    """`async with Collector() as collector:` listens on a free port of loopback."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.resources: dict[str, dict[str, Any]] = {}
        self.instances: set[str] = set()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        service.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    @property
    def url(self) -> str:
        """What `TRACE__URL` names."""
        return f"otlp://127.0.0.1:{self.port}"

    async def Export(self, request: Any, context: Any) -> Any:
        """Called by the exporter."""
        for of in request.resource_spans:
            resource = valued(of.resource.attributes)
            name = resource["service.name"]
            self.resources[name] = resource
            self.instances.add(str(resource["service.instance.id"]))
            self.spans += [seen(name, span) for scope in of.scope_spans for span in scope.spans]
        return wire.ExportTraceServiceResponse()

    def of(self, trace: str) -> list[Seen]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace == trace]

    async def until(self, true: Callable[[], Any], timeout_s: float = 20.0) -> None:
        """Wait for what is still on its way: spans are sent once a second."""
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, sorted(
                {(span.trace, span.service, span.name) for span in self.spans}
            )
            await asyncio.sleep(0.05)


def seen(name: str, span: Any) -> Seen:
    """A span as it stands on the wire."""
    return Seen(
        service=name,
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        failed=span.status.code == Status.StatusCode.STATUS_CODE_ERROR,
        attributes=valued(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def valued(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes as a dict."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in pairs}
