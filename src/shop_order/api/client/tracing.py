"""Traces for other services that continue ours: those of calls (metadata) and of events (`traceparent`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shop_order.pkg.tracing import OWN_SAMPLER, PARENT_SAMPLER, TraceConfig, open_tracing

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Span, Tracing

__all__ = ["OWN_SAMPLER", "PARENT_SAMPLER", "Span", "TraceConfig", "Tracing", "open_tracing"]
