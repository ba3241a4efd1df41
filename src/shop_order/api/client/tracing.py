"""Tracing for other services: continues our traces, of calls (metadata) and events (`traceparent`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shop_order.pkg.tracing import OWN_SAMPLER, PARENT_SAMPLER, TraceConfig, open_tracing

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Span, Tracing


def current_trace() -> tuple[tuple[str, str], ...]:
    """The W3C context of OpenTelemetry's current span, for the clients' `trace` parameter."""
    from opentelemetry.propagate import inject

    carried: dict[str, str] = {}
    inject(carried)
    return tuple(carried.items())


__all__ = [
    "OWN_SAMPLER",
    "PARENT_SAMPLER",
    "Span",
    "TraceConfig",
    "Tracing",
    "current_trace",
    "open_tracing",
]
