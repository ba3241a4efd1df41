"""Traces, off unless a URL names a collector; what others use is named here.

Nothing of OpenTelemetry's SDK is imported, and no call is slower, while they are off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shop_order.pkg.tracing.context import Origin, is_recorded, origin

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

PARENT_SAMPLER, OWN_SAMPLER = "parentbased_traceidratio", "traceidratio"


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """Where spans go (`none:`, `otlp://host:port`, with TLS `otlps://…`), whose, and how many.

    With PARENT_SAMPLER a caller's decision holds and `ratio` is for traces that begin here; with OWN_SAMPLER
    it is for all.
    """

    url: str
    service: str
    environment: str = ""
    sampler: str = PARENT_SAMPLER
    ratio: float = 1.0


def open_tracing(
    config: TraceConfig, observe: Callable[[str, int], None] = lambda outcome, spans: None
) -> Tracing | None:
    """The tracing, not opened yet; None where it is off. `observe` is told of spans `sent` and `lost`.

    Raises ValueError for another scheme, ImportError without the extra `otel`.
    """
    scheme, _, rest = config.url.partition(":")
    if scheme == "none":
        return None
    if scheme in ("otlp", "otlps"):
        from shop_order.pkg.tracing.otlp import Tracing

        return Tracing(config, rest.strip("/"), tls=scheme == "otlps", observe=observe)
    raise ValueError(f"no traces over {scheme}:")


__all__ = ["OWN_SAMPLER", "PARENT_SAMPLER", "Origin", "TraceConfig", "is_recorded", "open_tracing", "origin"]
