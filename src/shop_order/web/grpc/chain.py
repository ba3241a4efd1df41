"""What stands before every handler: request log, recovery, limits, deadline, authentication, idempotency.

Each link wraps a method once, when it is registered; one that has nothing to do for a method leaves it alone.
Streams pass the same links, but for those that make sense for one answer only; see `Front.stream_links`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AbortError

from shop_order.domain.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidArgument,
    OrderServiceError,
    Unimplemented,
)
from shop_order.pkg.grpc.server import Handler, Middleware
from shop_order.web.auth.limits import LISTS, RateLimits
from shop_order.web.auth.roles import ROLES, Who, authorize, needs_token
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import RequestContext, about, sent_key
from shop_order.web.grpc.call import Call
from shop_order.web.grpc.occupancy import NOTICES, Pools
from shop_order.web.grpc.streams import OpenStreams
from shop_order.web.grpc.traced import traced
from shop_order.web.messages import Language, error_text, plain_error_text
from shop_order.web.middleware.client_address import Network, contains, is_loopback, networks
from shop_order.web.status import ERROR_DOMAIN, INTERNAL, INTERNAL_CODE, grpc_code

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

KEYED = frozenset(
    f"/{service}/{method}"
    for service in ("order.OrderService", "shop.order.Order")
    for method in ("CreateOrder", "PayOrder")
) | {"/order.OrderService/RequestRefund"}

DETAILS = "grpc-status-details-bin"
Request = TypeVar("Request", bound=Message)


class RequestLogger(Protocol):
    """Where requests and unexpected errors are logged; a structlog logger fits."""

    def info(self, msg: str, /, **fields: Any) -> None:
        """A line for every call."""

    def exception(self, msg: str, /, **fields: Any) -> None:
        """A line with the stack of the exception being handled."""


class Observe(Protocol):
    """Counts calls and their seconds by method and code."""

    def __call__(self, method: str, code: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Front:
    """What the links need; `deadline_s` is asked at every call, since the setting may be reloaded."""

    log: RequestLogger
    observe: Observe
    observe_stream: Observe
    deadline_s: Callable[[], float]
    pools: Pools
    authenticator: Authenticator
    limits: RateLimits
    callback_allow: Callable[[], tuple[str, ...]] = tuple  # what may send notices; empty: all
    tracing: Tracing | None = None
    trusted_proxies: tuple[Network, ...] = ()

    def links(self) -> Sequence[Middleware[Call]]:
        """The chain of calls with one answer, outermost first."""
        return (
            *self._outer("grpc request", self.observe),
            self.pools.unary,
            deadline(self.deadline_s),
            authentication(self.authenticator, self.trusted_proxies),
            allow_list(self.callback_allow, self.trusted_proxies),
            rate_limit(self.limits),
            idempotency,
        )

    def stream_links(self, streams: OpenStreams) -> Sequence[Middleware[Call]]:
        """The chain of streams: without a deadline, and ended at a stop."""
        return (
            *self._outer("grpc stream", self.observe_stream),
            self.pools.stream,
            authentication(self.authenticator, self.trusted_proxies),
            rate_limit(self.limits),
            streams.link,
        )

    def _outer(self, event: str, observe: Observe) -> Sequence[Middleware[Call]]:
        return (
            *([traced(self.tracing)] if self.tracing else ()),
            request_log(self.log, observe, event),
            recovery(self.log),
        )


def request_log(log: RequestLogger, observe: Observe, event: str) -> Middleware[Call]:
    """One line and one measurement a call, when it is over."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        async def logged(call: Call) -> bytes:
            started_s = time.perf_counter()
            try:
                return await handler(call)
            except asyncio.CancelledError:
                call.code = StatusCode.CANCELLED
                raise
            finally:
                seconds = time.perf_counter() - started_s
                code = call.code.name
                observe(method, code, seconds)
                actor = call.request.actor
                log.info(
                    event,
                    method=method,
                    code=code,
                    ms=round(seconds * 1000, 3),
                    user_id=actor.user_id if actor else 0,
                    peer=call.context.peer(),
                    **({"error": call.request.trouble} if call.request.trouble else {}),
                )

        return logged

    return link


def recovery(log: RequestLogger) -> Middleware[Call]:
    """Every way a handler can end becomes a status; what nobody expected is INTERNAL and tells nothing."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        async def recovered(call: Call) -> bytes:
            try:
                answer = await handler(call)
            except OrderServiceError as refusal:
                call.code = grpc_code(refusal)
                call.request.trouble = repr(refusal) if refusal.where else ""
                text, details = refused(refusal, call.code, call.request.language)
            except AbortError:  # it was answered
                raise
            except Exception:
                log.exception("unexpected error", method=method)
                call.code = INTERNAL.grpc
                text, details = broken(call.request.language)
            else:
                call.context.set_trailing_metadata(call.trailing())
                return answer
            await call.context.abort(call.code, text, (*call.trailing(), (DETAILS, details)))

        return recovered

    return link


def deadline(deadline_s: Callable[[], float]) -> Middleware[Call]:
    """The caller's deadline or ours, whichever ends first."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        async def bounded(call: Call) -> bytes:
            limit_s, left_s = deadline_s(), call.time_left_s()
            if left_s is not None and left_s < limit_s:
                limit_s = left_s
            call.request.deadline = time.monotonic() + limit_s
            try:
                async with asyncio.timeout(limit_s) as limit:
                    return await handler(call)
            except TimeoutError:
                if limit.expired():
                    raise DeadlineExceeded from None
                raise

        return bounded

    return link


def authentication(authenticator: Authenticator, trusted: tuple[Network, ...]) -> Middleware[Call]:
    """Who calls, and whether the table of roles lets them."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        row = ROLES.get(method)

        async def authenticated(call: Call) -> bytes:
            call.request.actor = call.actor(authenticator)
            authorize(row, call.request.actor)
            return await handler(call)

        async def local_or_authenticated(call: Call) -> bytes:
            if is_loopback(call.address(trusted)):
                return await handler(call)
            return await authenticated(call)

        if needs_token(row):
            return authenticated
        return local_or_authenticated if row is not None and Who.LOOPBACK in row else handler

    return link


def allow_list(allowed: Callable[[], tuple[str, ...]], trusted: tuple[Network, ...]) -> Middleware[Call]:
    """Where notices may come from, if that is set (contract, chapter 4); asked at every notice."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        if method not in NOTICES:
            return handler

        async def listed(call: Call) -> bytes:
            listing = allowed()
            if listing and not contains(networks(listing), call.address(trusted)):
                raise Forbidden
            return await handler(call)

        return listed

    return link


def rate_limit(limits: RateLimits) -> Middleware[Call]:
    """How often and how much; notices are exempt: a provider that is refused asks again all the more."""

    def link(method: str, handler: Handler[Call]) -> Handler[Call]:
        if not needs_token(ROLES.get(method)):
            return handler

        async def limited(call: Call) -> bytes:
            await limits.check(call.request.actor)
            answer = await handler(call)
            await limits.charge(call.request.actor, len(answer))
            return answer

        async def in_turn(call: Call) -> bytes:
            async with limits.turn(call.request.actor):
                return await limited(call)

        return in_turn if method in LISTS else limited

    return link


def idempotency(method: str, handler: Handler[Call]) -> Handler[Call]:
    """The key of the metadata, for methods that know keys; the use case keeps the promise."""
    if method not in KEYED:
        return handler

    async def keyed(call: Call) -> bytes:
        name = "idempotency-key"
        call.request.key = sent_key(call.metadata.get(name, ""), repeated=name in call.repeated)
        return await handler(call)

    return keyed


async def later_stream(call: Call) -> bytes:
    """A stream that is not built yet."""
    raise Unimplemented


def decoding(
    message: type[Request], handle: Callable[[Request, RequestContext], Awaitable[Message]]
) -> Handler[Call]:
    """The innermost part: bytes to message, the handler, message to bytes."""
    parse = message.FromString

    async def decoded(call: Call) -> bytes:
        try:
            request = parse(call.body)
        except DecodeError:
            raise InvalidArgument("request", "malformed") from None
        about(getattr(request, "order_sn", ""))
        answer = await handle(request, call.request)
        about(getattr(answer, "order_sn", ""))
        return answer.SerializeToString()

    return decoded


def refused(refusal: OrderServiceError, code: StatusCode, language: Language) -> tuple[str, bytes]:
    """Text and `google.rpc.Status` of a refusal."""
    text = error_text(refusal, language)
    details: list[Message] = [
        ErrorInfo(
            reason=refusal.code,
            domain=ERROR_DOMAIN,
            metadata={name: str(value) for name, value in refusal.details.items()},
        )
    ]
    if refusal.retry_after_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(int(refusal.retry_after_s * 1e9))
        details.append(retry)
    return text, _status(code, text, details)


def broken(language: Language) -> tuple[str, bytes]:
    """Text and `google.rpc.Status` of an error that is ours."""
    text = plain_error_text(INTERNAL_CODE, language)
    return text, _status(INTERNAL.grpc, text, [ErrorInfo(reason=INTERNAL_CODE, domain=ERROR_DOMAIN)])


def _status(code: StatusCode, text: str, details: Sequence[Message]) -> bytes:
    status = Status(code=code.value[0], message=text)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    raw: bytes = status.SerializeToString()
    return raw
