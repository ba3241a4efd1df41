"""Whose request the running task answers, as logs and traces name it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple, Protocol

from shop_order.pkg.log import current_request_id


class Origin(NamedTuple):
    """What leads a reader of logs and traces back to a request; what is not known is empty."""

    request_id: str
    traceparent: str = ""


class Traced(Protocol):
    """A span, as those below it see it."""

    @property
    def traceparent(self) -> str:
        """Its place in its trace, as W3C writes it."""


current_span: ContextVar[Traced | None] = ContextVar("shop_order_span", default=None)


def is_recorded(traceparent: str) -> bool:
    """Whether the trace is one of those that are kept: of the others nobody makes further spans."""
    return bool(int(traceparent[-2:] or "0", 16) & 1)


def origin() -> Origin:
    """The request this task answers; both parts are empty in background work."""
    span = current_span.get()
    return Origin(current_request_id(), span.traceparent if span is not None else "")
