"""Tracing. While it is off, the default, OpenTelemetry is not imported and no call is slower."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from shop_order.pkg.log import current_request_id

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

PARENT_SAMPLER, OWN_SAMPLER = "parentbased_traceidratio", "traceidratio"


class Origin(NamedTuple):
    """The request that caused an action; unknown parts are empty."""

    request_id: str
    traceparent: str = ""


class CurrentSpan(Protocol):
    """The part of a span that its children need."""

    @property
    def traceparent(self) -> str:
        """W3C's `traceparent` header of this span."""


current_span: ContextVar[CurrentSpan | None] = ContextVar("shop_order_span", default=None)


def is_recorded(traceparent: str) -> bool:
    """Whether the trace is sampled; spans are created only for those that are."""
    return bool(int(traceparent[-2:] or "0", 16) & 1)


def origin() -> Origin:
    """Return the request of this task; empty in background work."""
    span = current_span.get()
    return Origin(current_request_id(), span.traceparent if span is not None else "")


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """The collector (`none:`, `otlp://host:port`, with TLS `otlps://…`), the service, and the sampled share.

    `ratio` applies to all traces with OWN_SAMPLER; with PARENT_SAMPLER only to those that start here, and
    callers decide about theirs.
    """

    url: str
    service: str
    environment: str = ""
    sampler: str = PARENT_SAMPLER
    ratio: float = 1.0


def open_tracing(
    config: TraceConfig, observe: Callable[[str, int], None] = lambda outcome, spans: None
) -> Tracing | None:
    """Return the tracing, not opened yet; None if it is off. `observe` counts spans: `sent` or `lost`.

    Raises ValueError for another scheme, ImportError without the extra `otel`.
    """
    scheme, _, rest = config.url.partition(":")
    if scheme == "none":
        return None
    if scheme in ("otlp", "otlps"):
        from shop_order.pkg.tracing.otlp import Tracing

        return Tracing(config, rest.strip("/"), tls=scheme == "otlps", observe=observe)
    raise ValueError(f"no traces over {scheme}:")
