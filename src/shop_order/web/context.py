"""The context of the current request, for gRPC and REST."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shop_order.domain.errors import InvalidArgument, NotYourself, Unauthenticated
from shop_order.domain.valueobject.parties import Actor
from shop_order.pkg.log import bind_fields, bound_fields
from shop_order.web.messages import Language

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Span, Tracing

Observe = Callable[[str, str, float], None]  # gRPC method or route, status, seconds
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_ORDER_SN = re.compile(r"[0-9]{27}", re.ASCII)


@dataclass(slots=True)
class RequestContext:
    """One request. `deadline` is in seconds of the monotonic clock; `actor` is None until authenticated.

    `key` is the idempotency key from the metadata or header; `replayed` is set if an earlier result is
    returned. `head` is set for HEAD: providers are not queried for data that would be discarded.
    `status` is the HTTP status of the response, 0 until then. `streaming_since` is when a streaming response
    began, on the monotonic clock.
    """

    request_id: str
    language: Language = Language.ZH
    deadline: float = 0.0
    actor: Actor | None = None
    key: str = ""
    replayed: bool = False
    head: bool = False
    status: int = 0
    streaming_since: float = 0.0
    client_ip: Callable[[], str] = str  # the caller's address; empty if unknown
    failure: str = ""  # for the log: what was unavailable, and where

    @property
    def caller(self) -> Actor:
        """The authenticated caller. Raises Unauthenticated."""
        if self.actor is None:
            raise Unauthenticated
        return self.actor

    def owner(self, user_id: int | None) -> int:
        """The user to filter by, 0 for none: an admin may name any user, others only themselves.

        Raises Unauthenticated, InvalidArgument, NotYourself (contract, chapter 3).
        """
        actor, named = self.caller, user_id or 0
        if named < 0:
            raise InvalidArgument("user_id", "too_small", min=0)
        if actor.is_admin:
            return named
        if named not in (0, actor.user_id):
            raise NotYourself
        return 0

    def idempotency_key(self, field: str) -> str:
        """The idempotency key from the metadata or the message; if both are given, they must be equal.

        Raises InvalidArgument.
        """
        if field and self.key and field != self.key:
            raise InvalidArgument("idempotency_key", "differs_from_metadata")
        return field or self.key


class RequestLog(Protocol):
    """A logger, such as structlog's."""

    def info(self, event: str, **fields: Any) -> object:
        """Log a request or call."""

    def exception(self, event: str, **fields: Any) -> object:
        """Log an error with the stack of the current exception."""


def validated_key(key: str, *, repeated: bool) -> str:
    """The idempotency key of a header or metadata. Raises InvalidArgument unless it was sent once.

    Commas are refused because proxies join repeated headers with them.
    """
    if repeated or "," in key:
        raise InvalidArgument("idempotency_key", "sent_twice")
    return key


_current: ContextVar[RequestContext] = ContextVar("shop_order_request")
_NO_REQUEST = RequestContext(request_id="")


def enter(context: RequestContext) -> None:
    """Make this the context of the current task, and add its id to all log lines.

    Every request runs in its own task, so the context is never reset.
    """
    _current.set(context)
    bind_fields(request_id=context.request_id)


def log_order_sn(order_sn: object) -> None:
    """Add the order number to the log lines of this request; anything else is ignored."""
    if isinstance(order_sn, str) and _ORDER_SN.fullmatch(order_sn):
        bind_fields(order_sn=order_sn)


@contextmanager
def server_span(
    tracing: Tracing, name: str, headers: Mapping[str, str], attributes: Mapping[str, str]
) -> Iterator[Span]:
    """A span in the trace that the headers continue; all log lines of the request have its trace id."""
    parent, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    with tracing.server(name, parent, state, attributes) as span:
        bind_fields(trace_id=span.trace_id)
        try:
            yield span
        finally:
            fields = bound_fields()
            for field in ("request_id", "order_sn"):
                if value := fields.get(field):
                    span.set(f"shop.{field}", str(value))


def context() -> RequestContext:
    """The context of the current request; in background work, one without id and deadline."""
    return _current.get(_NO_REQUEST)


def request_id() -> str:
    """The current request's id, for logs and for calls to other services; empty in background work."""
    return context().request_id


def remaining_s() -> float | None:
    """Seconds until the request's deadline, at least 0; None in background work."""
    deadline = context().deadline
    return max(deadline - time.monotonic(), 0.0) if deadline else None


def accepted_request_id(given: str | None) -> str:
    """The given id if it is 1 to 128 printable ASCII characters without spaces, otherwise a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(96):024x}"  # an id for logs, not a secret
