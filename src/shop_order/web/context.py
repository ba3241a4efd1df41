"""What is known of the request being answered; the same for gRPC and REST."""

from __future__ import annotations

import random
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shop_order.domain.errors import InvalidArgument, NotYourself, Unauthenticated
from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.log import bind_fields, bound_fields
from shop_order.web.messages import Language

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Span

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_ORDER_SN = re.compile(r"[0-9]{27}", re.ASCII)


@dataclass(slots=True)
class RequestContext:
    """One request; `deadline` is on the monotonic clock in seconds, `actor` None before authentication.

    `key` is the idempotency key of metadata or header; `replayed` is set when its result is an earlier one.
    `head`: only the headers are wanted (HEAD), so no provider is asked for data that would be discarded.
    `status` is the HTTP status of the answer, 0 before.
    """

    request_id: str
    language: Language = Language.ZH
    deadline: float = 0.0
    actor: Actor | None = None
    key: str = ""
    replayed: bool = False
    head: bool = False
    status: int = 0
    trouble: str = ""  # for our log: what was not available, and where

    @property
    def caller(self) -> Actor:
        """The authenticated caller. Raises Unauthenticated."""
        if self.actor is None:
            raise Unauthenticated
        return self.actor

    def owner(self, user_id: int | None) -> int:
        """The user whose orders are meant, 0 for none: an admin may name anybody, others only themselves.

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

    def agreed_key(self, field: str) -> str:
        """The idempotency key of metadata or message; both must be equal if both are given.

        Raises InvalidArgument.
        """
        if field and self.key and field != self.key:
            raise InvalidArgument("idempotency_key", "differs_from_metadata")
        return field or self.key


def sent_key(key: str, *, repeated: bool) -> str:
    """The key of header or metadata. Raises InvalidArgument unless it was sent once.

    A comma is how proxies write two headers as one; in the message's field it has no such meaning.
    """
    if repeated or "," in key:
        raise InvalidArgument("idempotency_key", "sent_twice")
    return key


_current: ContextVar[RequestContext | None] = ContextVar("shop_order_request", default=None)


def enter(context: RequestContext) -> None:
    """Make it the context of the running task, and its id a field of every log line.

    Every request has its own task, so the context is never reset.
    """
    _current.set(context)
    bind_fields(request_id=context.request_id)


def about(order_sn: object) -> None:
    """Add the order's number to the log lines of this request; a text that is no number is ignored."""
    if isinstance(order_sn, str) and _ORDER_SN.fullmatch(order_sn):
        bind_fields(order_sn=order_sn)


def note(span: Span) -> None:
    """Put the ids of the request and its order on its span; to be called when the request is over."""
    fields = bound_fields()
    for name in ("request_id", "order_sn"):
        if value := fields.get(name):
            span.set(f"shop.{name}", str(value))


def current() -> RequestContext | None:
    """The request being answered; None in background work."""
    return _current.get()


def request_id() -> str:
    """The id that goes into logs and to the neighbours; empty in background work."""
    context = _current.get()
    return context.request_id if context else ""


def remaining_s() -> float | None:
    """Seconds until the request's deadline, at least 0; None in background work."""
    context = _current.get()
    if context is None or not context.deadline:
        return None
    return max(context.deadline - time.monotonic(), 0.0)


def accepted_request_id(given: str | None) -> str:
    """The caller's id if it is 1 to 128 printable ASCII characters without blanks, else a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(96):024x}"  # an id for logs, not a secret
