"""The errors of refunds by request; see `errors` for what all errors have in common."""

from __future__ import annotations

from typing import Literal

from shop_order.domain.errors import Kind, OrderServiceError, in_yuan_too


class NotRefundable(OrderServiceError, kind=Kind.PRECONDITION):
    """The order can't be refunded like this; `problem` says why, `left_fen` what can be refunded at most."""

    def __init__(
        self,
        problem: Literal[
            "unpaid",
            "cancelled",
            "window_over",
            "not_shipped",
            "more_than_left",
            "more_freight_than_left",
            "more_pieces_than_left",
            "nothing_left",
            "too_many",
        ],
        /,
        *,
        left_fen: int | None = None,
        **parameters: int,
    ) -> None:
        amounts = {} if left_fen is None else in_yuan_too(left_fen=left_fen)
        super().__init__(problem, **parameters, **amounts)


class SecondApprovalNeeded(OrderServiceError, kind=Kind.PRECONDITION):
    """The refund is so large that a different admin must approve it too."""


class RefundTooLate(OrderServiceError, kind=Kind.PRECONDITION):
    """The provider no longer refunds the payment: settle it by hand."""


class RefundAbnormal(OrderServiceError, kind=Kind.PRECONDITION):
    """The provider can't pay the buyer's account: settle the refund by hand."""
