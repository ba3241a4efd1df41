"""A call, its interceptors (log, recovery, limits, deadline, authentication, idempotency) and its handler.

An interceptor wraps a method once, when it is registered, and returns the handler unchanged if it does not
apply. `Interceptors` in `server.py` puts them in order.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode
from grpc.aio import AbortError

from shop_order.domain.errors import DeadlineExceeded, Forbidden, InvalidArgument, OrderServiceError
from shop_order.pkg.grpc.admission import Context, MethodHandler
from shop_order.pkg.grpc.server import Handler, Interceptor, with_interceptors
from shop_order.web.auth.client_address import (
    Network,
    contains,
    is_loopback,
    networks,
    peer_address,
    resolve_address,
)
from shop_order.web.auth.limits import LIST_METHODS, NOTICE_METHODS, Pools, RateLimits
from shop_order.web.auth.roles import ROLES, Who, authorize, needs_token
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import (
    Observe,
    RequestContext,
    RequestLog,
    accepted_request_id,
    enter,
    log_order_sn,
    validated_key,
)
from shop_order.web.grpc.convert import error_status, internal_status
from shop_order.web.messages import INTERNAL, accepted_language, grpc_code

DETAILS = "grpc-status-details-bin"
KEYED = frozenset(
    f"/{service}/{method}"
    for service in ("order.OrderService", "shop.order.Order")
    for method in ("CreateOrder", "PayOrder")
) | {"/order.OrderService/RequestRefund"}

Request = TypeVar("Request", bound=Message)


class Call:
    """One call, as interceptors and handlers see it; `code` is the status that is returned.

    `body` is the request message; a bidirectional stream has `messages` instead.
    `metadata` has the keys that were sent once; `repeated` has the names of the others.
    """

    __slots__ = ("body", "code", "context", "messages", "metadata", "repeated", "request")

    def __init__(self, body: bytes, context: Context, messages: AsyncIterator[bytes] | None = None) -> None:
        self.body = body
        self.messages = messages
        self.context = context
        self.code = StatusCode.OK
        sent: tuple[tuple[str, str], ...] = tuple(context.invocation_metadata() or ())  # type: ignore[arg-type]
        self.metadata, self.repeated = dict(sent), frozenset[str]()
        if len(self.metadata) < len(sent):  # ambiguous, so neither is used
            counted = Counter(name for name, _ in sent)
            self.repeated = frozenset(name for name, times in counted.items() if times > 1)
            self.metadata = {name: value for name, value in sent if name not in self.repeated}
        self.request = RequestContext(accepted_request_id(self.metadata.get("x-request-id")))
        if accept := self.metadata.get("accept-language"):
            self.request.language = accepted_language(accept)
        enter(self.request)

    async def send(self, message: bytes) -> None:
        """Write one message of a stream; waits while the caller is slow to read."""
        await self.context.write(message)

    def address(self, trusted: tuple[Network, ...]) -> str:
        """The caller's address without its port; empty if unknown."""
        metadata = self.context.invocation_metadata() or ()
        forwarded = [str(value) for name, value in metadata if name == "x-forwarded-for"]
        return resolve_address(peer_address(self.context.peer()), forwarded, trusted)

    def trailing(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata of every response."""
        if self.request.replayed:
            return (("x-request-id", self.request.request_id), ("idempotency-replayed", "true"))
        return (("x-request-id", self.request.request_id),)


@dataclass(frozen=True, slots=True)
class Methods:
    """The handlers of a service by method name. Stream handlers write with `call.send` and return b""."""

    service: str
    unary: Mapping[str, Handler[Call]] = field(default_factory=dict)
    server_streams: Mapping[str, Handler[Call]] = field(default_factory=dict)
    bidi_streams: Mapping[str, Handler[Call]] = field(default_factory=dict)

    def wrapped(
        self, interceptors: Sequence[Interceptor[Call]], stream_interceptors: Sequence[Interceptor[Call]]
    ) -> dict[str, MethodHandler]:
        """The methods to register with grpc, each wrapped in its interceptors."""
        kinds = (
            (self.unary, _unary, interceptors),
            (self.server_streams, _server_stream, stream_interceptors),
            (self.bidi_streams, _bidi_stream, stream_interceptors),
        )
        return {
            name: registered(with_interceptors(f"/{self.service}/{name}", handler, wrapping))
            for handlers, registered, wrapping in kinds
            for name, handler in handlers.items()
        }


def _unary(handler: Handler[Call]) -> MethodHandler:
    async def respond(body: bytes, context: Context) -> bytes:
        return await handler(Call(body, context))

    return grpc.unary_unary_rpc_method_handler(respond)


def _server_stream(handler: Handler[Call]) -> MethodHandler:
    async def write_responses(body: bytes, context: Context) -> None:
        await handler(Call(body, context))

    return grpc.unary_stream_rpc_method_handler(write_responses)


def _bidi_stream(handler: Handler[Call]) -> MethodHandler:
    async def write_responses(messages: AsyncIterator[bytes], context: Context) -> None:
        await handler(Call(b"", context, messages))

    return grpc.stream_stream_rpc_method_handler(write_responses)


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
                response = await handler(call)
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
                return response
            await call.context.abort(call.code, text, (*call.trailing(), (DETAILS, details)))

        return recovered

    return wrap


def open_call_limit(pools: Pools) -> Interceptor[Call]:
    """Bound the number of calls that are open at the same time. Raises Overloaded."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        pool = pools.notices if method in NOTICE_METHODS else pools.calls

        async def in_slot(call: Call) -> bytes:
            with pool.slot(pools.address(peer_address(call.context.peer()))):
                return await handler(call)

        return in_slot

    return wrap


def deadline(deadline_s: Callable[[], float]) -> Interceptor[Call]:
    """Enforce the caller's deadline or ours, whichever is earlier. Raises DeadlineExceeded."""

    def wrap(method: str, handler: Handler[Call]) -> Handler[Call]:
        async def bounded(call: Call) -> bytes:
            limit_s, left_s = deadline_s(), call.context.time_remaining()
            if left_s is not None:
                limit_s = min(limit_s, left_s)
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
            sent, repeated = call.metadata.get("authorization"), "authorization" in call.repeated
            call.request.actor = authenticator.actor(sent, repeated=repeated)
            call.request.client_ip = partial(call.address, trusted)
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
        if method not in NOTICE_METHODS:
            return handler

        async def listed(call: Call) -> bytes:
            nets = networks(allowed())
            if nets and not contains(nets, call.address(trusted)):
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
            response = await handler(call)
            await limits.charge(call.request.actor, len(response))
            return response

        async def in_list_slot(call: Call) -> bytes:
            async with limits.list_slot(call.request.actor):
                return await limited(call)

        return in_list_slot if method in LIST_METHODS else limited

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


def decoding(
    message: type[Request],
    handle: Callable[[Request, RequestContext], Awaitable[Message]],
    *,
    max_bytes: int | None = None,
) -> Handler[Call]:
    """The innermost handler: parse the request, call `handle`, serialize the response.

    `max_bytes` of a request, if its callers are unknown: to parse a map takes the square of its size.
    """

    async def decoded(call: Call) -> bytes:
        if max_bytes is not None and len(call.body) > max_bytes:
            raise InvalidArgument("request", "too_many_bytes", max=max_bytes)
        request = parse(message, call.body)
        log_order_sn(getattr(request, "order_sn", ""))
        response = await handle(request, call.request)
        log_order_sn(getattr(response, "order_sn", ""))
        return response.SerializeToString()

    return decoded


def parse(message: type[Request], body: bytes) -> Request:
    """Parse a request. Raises InvalidArgument."""
    try:
        return message.FromString(body)
    except DecodeError:
        raise InvalidArgument("request", "malformed") from None
