"""The errors of the order service as exceptions: one class for each gRPC code, and for reasons to act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"


class OrderApiError(Exception):
    """A call that failed.

    `reason` is the service's name for it (OUT_OF_STOCK, …; empty if the answer was not the service's own; see
    docs/errors.md), `details` what it is about, as texts, `request_id` what to look for in the logs,
    `retry_after_s` when to try again.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        details: Mapping[str, str] | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.details = dict(details or {})
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    @property
    def problem(self) -> str:
        """The case of a reason that has several: too_long, already_paid, …; else empty."""
        return self.details.get("problem", "")

    @property
    def goods_ids(self) -> tuple[int, ...]:
        """The goods it is about, if any."""
        return tuple(int(text) for text in self.details.get("goods_ids", "").split(",") if text)


class InvalidArgument(OrderApiError):
    """The request can never succeed as it is; `problem` says what is wrong with `field`."""

    @property
    def field(self) -> str:
        """The full path of the field, such as `items[2].nums`."""
        return self.details.get("field", "")


class Unauthenticated(OrderApiError):
    """No token, or one that the service does not accept."""


class PermissionDenied(OrderApiError):
    """The token's role may not do this."""


class NotFound(OrderApiError):
    """It does not exist, or is somebody else's."""


class FailedPrecondition(OrderApiError):
    """The state of order, goods or payment does not allow it."""


class Aborted(OrderApiError):
    """Something changed meanwhile: refresh and retry."""


class ResourceExhausted(OrderApiError):
    """Too many requests, or too large a one."""


class Unavailable(OrderApiError):
    """The service, or one it needs, is not available."""


class DeadlineExceeded(OrderApiError):
    """Not answered in time; whether it happened is unknown: retry with the same idempotency key."""


class Unimplemented(OrderApiError):
    """Not available in this version of the service."""


class KeyReused(InvalidArgument):
    """The idempotency key was used with another request."""


class OutOfStock(FailedPrecondition):
    """Some goods are short; `goods_ids` names them."""


class GoodsUnavailable(FailedPrecondition):
    """Some goods do not exist or are off sale; `goods_ids` names them."""


class PriceChanged(FailedPrecondition):
    """The total is not the expected one; `details` has both."""


class CouponUnknown(FailedPrecondition):
    """The coupon can't be used."""


class ChannelUnavailable(FailedPrecondition):
    """The payment channel is not available."""


class AmountNotPayable(FailedPrecondition):
    """The channel takes no such amount in one payment; `details` has the smallest and the largest."""


class TooManyUnpaid(FailedPrecondition):
    """The user must pay or cancel first."""


class UseRefund(FailedPrecondition):
    """A paid order is not cancelled but refunded."""


class PayWindowClosed(FailedPrecondition):
    """Too little time is left to pay."""


class IllegalTransition(FailedPrecondition):
    """The order's status does not allow it; `problem` says why: already_paid, not_shipped, …."""


_BY_CODE: Mapping[grpc.StatusCode, type[OrderApiError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}
_BY_REASON: Mapping[str, type[OrderApiError]] = {
    "KEY_REUSED": KeyReused,
    "OUT_OF_STOCK": OutOfStock,
    "GOODS_UNAVAILABLE": GoodsUnavailable,
    "PRICE_CHANGED": PriceChanged,
    "COUPON_UNKNOWN": CouponUnknown,
    "CHANNEL_UNAVAILABLE": ChannelUnavailable,
    "AMOUNT_NOT_PAYABLE": AmountNotPayable,
    "TOO_MANY_UNPAID": TooManyUnpaid,
    "USE_REFUND": UseRefund,
    "PAY_WINDOW_CLOSED": PayWindowClosed,
    "ILLEGAL_TRANSITION": IllegalTransition,
}


def error_of(code: grpc.StatusCode, message: str, trailing: Iterable[Any], request_id: str) -> OrderApiError:
    """The exception for an answer that is not OK; `request_id` is the one that was sent."""
    info, retry_after_s = ErrorInfo(), None
    for name, value in trailing:
        if name == "x-request-id":
            request_id = str(value)
        if name != _DETAILS or not isinstance(value, bytes):
            continue
        for detail in Status.FromString(value).details:
            if detail.Is(RetryInfo.DESCRIPTOR):
                retry_after_s = RetryInfo.FromString(detail.value).retry_delay.ToNanoseconds() / 1e9
            elif detail.Is(ErrorInfo.DESCRIPTOR):
                info = ErrorInfo.FromString(detail.value)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, OrderApiError)
    return kind(
        code,
        message,
        reason=info.reason,
        details=dict(info.metadata),
        request_id=request_id,
        retry_after_s=retry_after_s,
    )
