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


class RefundType(StrEnum):
    """Whether goods come back by parcel before the money is refunded."""

    REFUND_ONLY = "refund_only"
    RETURN = "return"


class RefundState(StrEnum):
    """States of one refund."""

    REQUESTED = "requested"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    APPROVED = "approved"
    AWAITING_RETURN = "awaiting_return"
    RETURNED = "returned"
    SENT = "sent"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SETTLED = "settled"


OPEN_PAYMENT = frozenset(
    {PaymentState.CREATED, PaymentState.PENDING, PaymentState.PROCESSING, PaymentState.UNKNOWN}
)
SHIPPED_ORDER = frozenset({OrderStatus.SHIPPED, OrderStatus.COMPLETED})
PAID_PAYMENT = frozenset({PaymentState.PAID, PaymentState.PART_REFUNDED, PaymentState.REFUNDED})
READY_REFUND = frozenset({RefundState.APPROVED, RefundState.RETURNED})  # to be sent to the provider
DUE_REFUND = READY_REFUND | {RefundState.SENT, RefundState.UNKNOWN}  # until its result is known
OPEN_REFUND = DUE_REFUND | {RefundState.REQUESTED, RefundState.AWAITING_RETURN}
REFUNDED = frozenset({RefundState.SUCCEEDED, RefundState.SETTLED})  # by the provider, or by hand
SETTLED_REFUND = REFUNDED | {RefundState.REJECTED, RefundState.WITHDRAWN}  # a failed one needs an operator
LIVE_REFUND = frozenset(RefundState) - {RefundState.REJECTED, RefundState.WITHDRAWN}

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
    RefundState.REQUESTED: frozenset(
        {
            RefundState.APPROVED,
            RefundState.AWAITING_RETURN,
            RefundState.REJECTED,
            RefundState.WITHDRAWN,
        }
    ),
    RefundState.APPROVED: frozenset({RefundState.SENT}),
    # Goods that never arrive, or not as they were sold, bring no money back.
    RefundState.AWAITING_RETURN: frozenset(
        {RefundState.RETURNED, RefundState.REJECTED, RefundState.WITHDRAWN}
    ),
    RefundState.RETURNED: frozenset({RefundState.SENT}),
    RefundState.SENT: frozenset({RefundState.UNKNOWN, RefundState.SUCCEEDED, RefundState.FAILED}),
    RefundState.UNKNOWN: frozenset({RefundState.SENT, RefundState.SUCCEEDED, RefundState.FAILED}),
    # The provider's clerks can still pay an abnormal refund.
    RefundState.FAILED: frozenset({RefundState.SENT, RefundState.SETTLED, RefundState.SUCCEEDED}),
    **dict.fromkeys(SETTLED_REFUND, frozenset[RefundState]()),
}

_State = TypeVar("_State", OrderStatus, PaymentState, RefundState)


def advance(table: Mapping[_State, frozenset[_State]], now: _State, to: _State) -> _State:
    """Return `to` if the table allows the transition from `now`. Raises IllegalTransition."""
    if to not in table[now]:
        raise IllegalTransition(now.name, to.name)
    return to
