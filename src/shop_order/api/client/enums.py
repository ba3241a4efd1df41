"""The numbers of the wire, by name."""

from __future__ import annotations

from enum import IntEnum


class OrderStatus(IntEnum):
    """`status` of an order; 0 in a list's request means all."""

    PENDING = 1
    PAID = 2
    SHIPPED = 3
    COMPLETED = 4
    CANCELLED = 5


class RefundStatus(IntEnum):
    """`refund_status` of an order: how much of it was given back."""

    NONE = 0
    OPEN = 1
    WHOLE = 2
    PART = 3


class PaymentType(IntEnum):
    """`payment_type`: the channel; NOT_CHOSEN until the buyer decides."""

    NOT_CHOSEN = 0
    ALIPAY = 1
    WECHAT = 2
    BALANCE = 3


class PaymentStatus(IntEnum):
    """`status` of a payment attempt."""

    OPEN = 1
    PAID = 2
    REFUNDED = 3
    CLOSED = 4
