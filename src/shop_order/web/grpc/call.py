"""A gRPC call, its error status, and the methods of a service."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from shop_order.domain.errors import OrderServiceError
from shop_order.domain.valueobject.parties import Actor
from shop_order.pkg.grpc.admission import Context, MethodHandler
from shop_order.pkg.grpc.server import Handler, Interceptor, with_interceptors
from shop_order.web.auth.client_address import Network, peer_address, resolve_address
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import RequestContext, accepted_request_id, enter
from shop_order.web.messages import (
    ERROR_DOMAIN,
    INTERNAL,
    INTERNAL_CODE,
    Language,
    accepted_language,
    error_text,
    plain_error_text,
)

DETAILS = "grpc-status-details-bin"


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

    def actor(self, authenticator: Authenticator) -> Actor:
        """The authenticated caller. Raises Unauthenticated, DependencyDown."""
        name = "authorization"
        return authenticator.actor(self.metadata.get(name), repeated=name in self.repeated)

    async def send(self, message: bytes) -> None:
        """Write one message of a stream; waits while the caller is slow to read."""
        await self.context.write(message)

    def time_left_s(self) -> float | None:
        """Seconds until the caller's deadline; None without one."""
        left_s: float | None = self.context.time_remaining()
        return left_s

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

    def full_names(self) -> list[str]:
        """The full names of the methods, as in the table of roles."""
        return [f"/{self.service}/{name}" for name in (*self.unary, *self.server_streams, *self.bidi_streams)]

    def wrapped(
        self, interceptors: Sequence[Interceptor[Call]], stream_interceptors: Sequence[Interceptor[Call]]
    ) -> dict[str, MethodHandler]:
        """The methods to register with grpc, each wrapped in its interceptors."""
        methods: dict[str, MethodHandler] = {}
        for name, handler in self.unary.items():
            methods[name] = _unary(with_interceptors(f"/{self.service}/{name}", handler, interceptors))
        for name, handler in self.server_streams.items():
            methods[name] = _server_stream(
                with_interceptors(f"/{self.service}/{name}", handler, stream_interceptors)
            )
        for name, handler in self.bidi_streams.items():
            methods[name] = _bidi_stream(
                with_interceptors(f"/{self.service}/{name}", handler, stream_interceptors)
            )
        return methods


def _unary(handler: Handler[Call]) -> MethodHandler:
    async def answer(body: bytes, context: Context) -> bytes:
        return await handler(Call(body, context))

    return grpc.unary_unary_rpc_method_handler(answer)


def _server_stream(handler: Handler[Call]) -> MethodHandler:
    async def write_answers(body: bytes, context: Context) -> None:
        await handler(Call(body, context))

    return grpc.unary_stream_rpc_method_handler(write_answers)


def _bidi_stream(handler: Handler[Call]) -> MethodHandler:
    async def write_answers(messages: AsyncIterator[bytes], context: Context) -> None:
        await handler(Call(b"", context, messages))

    return grpc.stream_stream_rpc_method_handler(write_answers)


def error_status(error: OrderServiceError, code: StatusCode, language: Language) -> tuple[str, bytes]:
    """The text and the serialized `google.rpc.Status` of an error."""
    text = error_text(error, language)
    details: list[Message] = [
        ErrorInfo(
            reason=error.code,
            domain=ERROR_DOMAIN,
            metadata={name: str(value) for name, value in error.details.items()},
        )
    ]
    if error.retry_after_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(retry)
    return text, _status(code, text, details)


def internal_status(language: Language) -> tuple[str, bytes]:
    """The text and the serialized `google.rpc.Status` of an unexpected error."""
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
