"""The gRPC code and HTTP status of each kind of error (contract, chapter 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grpc import StatusCode

from shop_order.domain.errors import Kind, OrderServiceError

ERROR_DOMAIN = "order.shop"
INTERNAL_CODE = "INTERNAL"
# HTTP errors that occur before a route is found
ROUTING_CODES: Mapping[int, str] = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


@dataclass(frozen=True, slots=True)
class WireStatus:
    """The status of an error in both protocols."""

    grpc: StatusCode
    http: int


STATUS: Mapping[Kind, WireStatus] = {
    Kind.INVALID: WireStatus(StatusCode.INVALID_ARGUMENT, 400),
    Kind.UNAUTHENTICATED: WireStatus(StatusCode.UNAUTHENTICATED, 401),
    Kind.FORBIDDEN: WireStatus(StatusCode.PERMISSION_DENIED, 403),
    Kind.NOT_FOUND: WireStatus(StatusCode.NOT_FOUND, 404),
    Kind.PRECONDITION: WireStatus(StatusCode.FAILED_PRECONDITION, 409),
    Kind.CONFLICT: WireStatus(StatusCode.ABORTED, 409),
    Kind.EXHAUSTED: WireStatus(StatusCode.RESOURCE_EXHAUSTED, 429),
    Kind.UNAVAILABLE: WireStatus(StatusCode.UNAVAILABLE, 503),
    Kind.DEADLINE: WireStatus(StatusCode.DEADLINE_EXCEEDED, 504),
    Kind.UNIMPLEMENTED: WireStatus(StatusCode.UNIMPLEMENTED, 501),
}
INTERNAL = WireStatus(StatusCode.INTERNAL, 500)  # any other exception


def grpc_code(error: OrderServiceError | type[OrderServiceError]) -> StatusCode:
    """The gRPC code of an error."""
    return STATUS[error.kind].grpc


def http_status(error: OrderServiceError | type[OrderServiceError]) -> int:
    """The HTTP status of an error: its own if it has one, otherwise that of its kind."""
    return error.http_status or STATUS[error.kind].http
