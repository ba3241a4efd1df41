"""States and their legal transitions: of orders, payments and refunds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import TypeVar

from shop_order.domain.errors import IllegalTransition


class OrderStatus(IntEnum):
    """States of an order; values as on the wire (specification 2.2)."""

    PENDING = 1
    PAID = 2
    SHIPPED = 3
    COMPLETED = 4
    CANCELLED = 5


class RefundStatus(IntEnum):
    """How much of an order was refunded."""

    NONE = 0
    OPEN = 1
    WHOLE = 2
    PART = 3


class PaymentType(IntEnum):
    """Payment channels; values as on the wire (specification 9.1). NOT_CHOSEN until the buyer chooses."""

    NOT_CHOSEN = 0
    ALIPAY = 1
    WECHAT = 2
    BALANCE = 3

    @property
    def code(self) -> str:
        """The name in column `pay_type`; empty if none is chosen."""
        return "" if self is PaymentType.NOT_CHOSEN else self.name.lower()


class PaymentState(StrEnum):
    """States of one payment attempt."""

    CREATED = "created"
    PENDING = "pending"
    PROCESSING = "processing"
    UNKNOWN = "unknown"
    PAID = "paid"
    CLOSED = "closed"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"

    @property
    def wire(self) -> int:
        """The value on the wire: 1 open, 2 paid, 3 refunded, 4 closed."""
        return _PAYMENT_WIRE[self]


class RefundState(StrEnum):
    """States of one refund."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    SENT = "sent"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN_PAYMENT = frozenset(
    {PaymentState.CREATED, PaymentState.PENDING, PaymentState.PROCESSING, PaymentState.UNKNOWN}
)
PAID_PAYMENT = frozenset({PaymentState.PAID, PaymentState.PART_REFUNDED, PaymentState.REFUNDED})
OPEN_REFUND = frozenset({RefundState.REQUESTED, RefundState.APPROVED, RefundState.SENT, RefundState.UNKNOWN})
DUE_REFUND = OPEN_REFUND - {RefundState.REQUESTED}  # approved: sent until its result is known
SETTLED_REFUND = frozenset({RefundState.SUCCEEDED, RefundState.REJECTED})  # a failed one needs an operator

_PAYMENT_WIRE = {
    **dict.fromkeys(OPEN_PAYMENT, 1),
    PaymentState.PAID: 2,
    PaymentState.PART_REFUNDED: 2,
    PaymentState.REFUNDED: 3,
    PaymentState.CLOSED: 4,
}

ORDER_TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PAID, OrderStatus.CANCELLED}),
    # Only a full refund that succeeded cancels a paid order.
    OrderStatus.PAID: frozenset({OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.SHIPPED: frozenset({OrderStatus.COMPLETED}),
    OrderStatus.COMPLETED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}

PAYMENT_TRANSITIONS: Mapping[PaymentState, frozenset[PaymentState]] = {
    PaymentState.CREATED: frozenset(
        {
            PaymentState.PENDING,
            PaymentState.PROCESSING,
            PaymentState.UNKNOWN,
            PaymentState.CLOSED,
            PaymentState.PAID,
        }
    ),
    PaymentState.PENDING: frozenset(
        {PaymentState.PROCESSING, PaymentState.UNKNOWN, PaymentState.PAID, PaymentState.CLOSED}
    ),
    PaymentState.PROCESSING: frozenset({PaymentState.UNKNOWN, PaymentState.PAID, PaymentState.CLOSED}),
    PaymentState.UNKNOWN: frozenset({PaymentState.PENDING, PaymentState.PAID, PaymentState.CLOSED}),
    PaymentState.PAID: frozenset({PaymentState.PART_REFUNDED, PaymentState.REFUNDED}),
    PaymentState.PART_REFUNDED: frozenset({PaymentState.PART_REFUNDED, PaymentState.REFUNDED}),
    # A provider cannot close an attempt that no buyer has opened yet: it may still be paid.
    PaymentState.CLOSED: frozenset({PaymentState.PAID}),
    PaymentState.REFUNDED: frozenset(),
}

REFUND_TRANSITIONS: Mapping[RefundState, frozenset[RefundState]] = {
    RefundState.REQUESTED: frozenset({RefundState.APPROVED, RefundState.REJECTED}),
    RefundState.APPROVED: frozenset({RefundState.SENT}),
    RefundState.SENT: frozenset({RefundState.UNKNOWN, RefundState.SUCCEEDED, RefundState.FAILED}),
    RefundState.UNKNOWN: frozenset({RefundState.SENT, RefundState.SUCCEEDED, RefundState.FAILED}),
    RefundState.REJECTED: frozenset(),
    RefundState.SUCCEEDED: frozenset(),
    RefundState.FAILED: frozenset(),
}

_State = TypeVar("_State", OrderStatus, PaymentState, RefundState)


def advance(table: Mapping[_State, frozenset[_State]], now: _State, to: _State) -> _State:
    """Return `to` if the table allows the transition from `now`. Raises IllegalTransition."""
    if to not in table[now]:
        raise IllegalTransition(now.name, to.name)
    return to
