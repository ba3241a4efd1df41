"""The interceptors of every method: request log, recovery, limits, deadline, authentication, idempotency.

An interceptor wraps a method once, when it is registered, and returns the handler unchanged if it does not
apply. Streams have fewer of them; see `Interceptors.stream`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from grpc import StatusCode
from grpc.aio import AbortError

from shop_order.domain.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidArgument,
    OrderServiceError,
    Unimplemented,
)
from shop_order.pkg.grpc.server import Handler, Interceptor
from shop_order.web.auth.client_address import Network, contains, is_loopback, networks, peer_address
from shop_order.web.auth.limits import LISTS, NOTICES, Pools, RateLimits
from shop_order.web.auth.roles import ROLES, Who, authorize, needs_token
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import RequestContext, RequestLog, log_order_sn, validated_key
from shop_order.web.grpc.call import DETAILS, Call, error_status, internal_status
from shop_order.web.grpc.streams import OpenStreams
from shop_order.web.grpc.traced import traced
from shop_order.web.messages import INTERNAL, grpc_code

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

KEYED = frozenset(
    f"/{service}/{method}"
    for service in ("order.OrderService", "shop.order.Order")
    for method in ("CreateOrder", "PayOrder")
) | {"/order.OrderService/RequestRefund"}

Request = TypeVar("Request", bound=Message)


class Observe(Protocol):
    """Record the duration of a call by method and code."""

    def __call__(self, method: str, code: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Interceptors:
    """Builds the chains; `deadline_s` is called for every request, because settings can be reloaded."""

    log: RequestLog
    observe: Observe
    observe_stream: Observe
    deadline_s: Callable[[], float]
    pools: Pools
    authenticator: Authenticator
    limits: RateLimits
    callback_allow: Callable[[], tuple[str, ...]] = tuple  # networks that may send notices; empty: all
    tracing: Tracing | None = None
    trusted_proxies: tuple[Network, ...] = ()

    def unary(self) -> Sequence[Interceptor[Call]]:
        """The chain of unary methods, outermost first."""
        return (
            *self._outer("grpc request", self.observe),
            open_call_limit(self.pools),
            deadline(self.deadline_s),
            authentication(self.authenticator, self.trusted_proxies),
            allow_list(self.callback_allow, self.trusted_proxies),
            rate_limit(self.limits),
            idempotency,
        )

    def stream(self, streams: OpenStreams) -> Sequence[Interceptor[Call]]:
        """The chain of streams: without a deadline, and ended when the server stops."""
        return (
            *self._outer("grpc stream", self.observe_stream),
            open_call_limit(self.pools, streams=True),
            authentication(self.authenticator, self.trusted_proxies),
            rate_limit(self.limits),
            streams.end_at_stop,
        )

    def _outer(self, event: str, observe: Observe) -> Sequence[Interceptor[Call]]:
        return (
            *([traced(self.tracing)] if self.tracing else ()),
            request_log(self.log, observe, event),
            recovery(self.log),
        )


def request_log(log: RequestLog, observe: Observe, event: str) -> Interceptor[Call]:
    """Log and measure every call when it ends."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
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
                    **({"error": call.request.failure} if call.request.failure else {}),
                )

        return logged

    return wrap


def recovery(log: RequestLog) -> Interceptor[Call]:
    """Turn every exception into a status; unexpected ones become INTERNAL without details."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        async def recovered(call: Call) -> bytes:
            try:
                answer = await handler(call)
            except OrderServiceError as error:
                call.code = grpc_code(error)
                call.request.failure = repr(error) if error.where else ""
                text, details = error_status(error, call.code, call.request.language)
            except AbortError:  # the handler has already sent a status
                raise
            except Exception:
                log.exception("unexpected error", method=method)
                call.code = INTERNAL.grpc
                text, details = internal_status(call.request.language)
            else:
                call.context.set_trailing_metadata(call.trailing())
                return answer
            await call.context.abort(call.code, text, (*call.trailing(), (DETAILS, details)))

        return recovered

    return wrap


def open_call_limit(pools: Pools, *, streams: bool = False) -> Interceptor[Call]:
    """Bound the number of calls that are open at the same time. Raises Overloaded."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        pool = pools.streams if streams else pools.notices if method in NOTICES else pools.calls

        async def in_slot(call: Call) -> bytes:
            with pool.slot(pools.address(peer_address(call.context.peer()))):
                return await handler(call)

        return in_slot

    return wrap


def deadline(deadline_s: Callable[[], float]) -> Interceptor[Call]:
    """Enforce the caller's deadline or ours, whichever is earlier. Raises DeadlineExceeded."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
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

    return wrap


def authentication(authenticator: Authenticator, trusted: tuple[Network, ...]) -> Interceptor[Call]:
    """Authenticate and authorize the caller. Raises Unauthenticated, Forbidden, DependencyDown."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
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

    return wrap


def allow_list(allowed: Callable[[], tuple[str, ...]], trusted: tuple[Network, ...]) -> Interceptor[Call]:
    """Accept notices from the allowed networks only, if any are set (contract, chapter 4)."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        if method not in NOTICES:
            return handler

        async def listed(call: Call) -> bytes:
            listing = allowed()
            if listing and not contains(networks(listing), call.address(trusted)):
                raise Forbidden
            return await handler(call)

        return listed

    return wrap


def rate_limit(limits: RateLimits) -> Interceptor[Call]:
    """Limit the rate of calls; notices are exempt, because a refused provider would only send more."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        if not needs_token(ROLES.get(method)):
            return handler

        async def limited(call: Call) -> bytes:
            await limits.check(call.request.actor)
            answer = await handler(call)
            await limits.charge(call.request.actor, len(answer))
            return answer

        async def in_list_slot(call: Call) -> bytes:
            async with limits.list_slot(call.request.actor):
                return await limited(call)

        return in_list_slot if method in LISTS else limited

    return wrap


def idempotency(method: str, handler: Handler[Call]) -> Handler[Call]:
    """Read the idempotency key from the metadata, for methods that take one."""
    if method not in KEYED:
        return handler

    async def keyed(call: Call) -> bytes:
        name = "idempotency-key"
        call.request.key = validated_key(call.metadata.get(name, ""), repeated=name in call.repeated)
        return await handler(call)

    return keyed


async def unimplemented_stream(call: Call) -> bytes:
    """A stream that is not implemented yet. Raises Unimplemented."""
    raise Unimplemented


def decoding(
    message: type[Request], handle: Callable[[Request, RequestContext], Awaitable[Message]]
) -> Handler[Call]:
    """The innermost handler: parse the request, call `handle`, serialize the response."""
    parse = message.FromString

    async def decoded(call: Call) -> bytes:
        try:
            request = parse(call.body)
        except DecodeError:
            raise InvalidArgument("request", "malformed") from None
        log_order_sn(getattr(request, "order_sn", ""))
        answer = await handle(request, call.request)
        log_order_sn(getattr(answer, "order_sn", ""))
        return answer.SerializeToString()

    return decoded
