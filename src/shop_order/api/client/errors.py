"""Errors of the order service: one class per gRPC code, and for common reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"


class OrderApiError(Exception):
    """A call that failed.

    `reason` is the error's code (OUT_OF_STOCK, …; see docs/errors.md), empty if the service did not respond.
    `details` are its parameters as strings. `request_id` identifies the call in logs. `retry_after_s` is set
    if a retry makes sense.
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
        """The case of a reason that has several, such as too_long or already_paid; otherwise empty."""
        return self.details.get("problem", "")

    @property
    def goods_ids(self) -> tuple[int, ...]:
        """The ids of the affected goods, if any."""
        return tuple(int(text) for text in self.details.get("goods_ids", "").split(",") if text)


class InvalidArgument(OrderApiError):
    """The request is invalid; `problem` says what is wrong with `field`."""

    @property
    def field(self) -> str:
        """The full path of the field, such as `items[2].nums`."""
        return self.details.get("field", "")


class Unauthenticated(OrderApiError):
    """There is no token, or it is not valid."""


class PermissionDenied(OrderApiError):
    """The role of the token is not permitted."""


class NotFound(OrderApiError):
    """Does not exist, or belongs to another user."""


class FailedPrecondition(OrderApiError):
    """Not possible in the current state of the order, goods or payment."""


class Aborted(OrderApiError):
    """A concurrent change won: refresh and retry."""


class ResourceExhausted(OrderApiError):
    """Too many requests, or the request is too large."""


class Unavailable(OrderApiError):
    """The service or one of its dependencies is unavailable."""


class DeadlineExceeded(OrderApiError):
    """The deadline passed and the outcome is unknown: retry with the same idempotency key."""


class Unimplemented(OrderApiError):
    """Not implemented in this version of the service."""


class KeyReused(InvalidArgument):
    """The idempotency key was used with another request."""


class OutOfStock(FailedPrecondition):
    """Some goods are out of stock; `goods_ids` lists them."""


class GoodsUnavailable(FailedPrecondition):
    """Some goods do not exist or are no longer on sale; `goods_ids` lists them."""


class PriceChanged(FailedPrecondition):
    """The total is not the expected one; `details` has both."""


class CouponUnknown(FailedPrecondition):
    """The coupon can't be used."""


class ChannelUnavailable(FailedPrecondition):
    """The payment channel is not available."""


class AmountNotPayable(FailedPrecondition):
    """The amount is outside the channel's limits, which are in `details`."""


class TooManyUnpaid(FailedPrecondition):
    """The user has reached the limit of unpaid orders."""


class UseRefund(FailedPrecondition):
    """A paid order can't be cancelled; it has to be refunded."""


class PayWindowClosed(FailedPrecondition):
    """Too little time is left to pay the order."""


class IllegalTransition(FailedPrecondition):
    """The order's status does not allow this; `problem` says why: already_paid, not_shipped, …."""


class RefundOpen(FailedPrecondition):
    """The order has an open refund, so it can't be shipped or completed."""


class NotRefundable(FailedPrecondition):
    """The order can't be refunded like this; `problem` says why: more_than_left, window_over, …."""


class SecondApprovalNeeded(FailedPrecondition):
    """The refund is so large that a different admin must approve it too."""


class RefundTooLate(FailedPrecondition):
    """The provider no longer refunds the payment: settle it by hand."""


class RefundAbnormal(FailedPrecondition):
    """The provider can't pay the buyer's account: settle the refund by hand."""


# A class is named after a reason or a gRPC code: OutOfStock after OUT_OF_STOCK.
_CLASSES: Mapping[str, type[OrderApiError]] = {
    re.sub(r"\B(?=[A-Z])", "_", found.__name__).upper(): found
    for base in (OrderApiError, InvalidArgument, FailedPrecondition)
    for found in base.__subclasses__()
}


def error_of(code: grpc.StatusCode, message: str, trailing: Iterable[Any], request_id: str) -> OrderApiError:
    """The exception for a status that is not OK; `request_id` is the one that was sent."""
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
    found = _CLASSES.get(info.reason) or _CLASSES.get(code.name, OrderApiError)
    return found(
        code,
        message,
        reason=info.reason,
        details=dict(info.metadata),
        request_id=request_id,
        retry_after_s=retry_after_s,
    )
