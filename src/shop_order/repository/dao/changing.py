"""What a decision about an order changes in its rows, for every SQL engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import OrderStatus, PaymentState
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import ORDER_COLUMNS, Row

CHANGED = (
    "pay_type, status, trade_no, pay_time, updated_at, due_ms, payment_sn, cancel_reason, logistics_company,"
    " logistics_no, shipped_ms, completed_ms, refund_status, version, cancel_code"
)
_CHANGED_AT = [ORDER_COLUMNS.split(", ").index(column) for column in CHANGED.split(", ")]
UPDATE_ORDER = (
    f"UPDATE order_info SET {', '.join(f'{column} = ?' for column in CHANGED.split(', '))}"
    " WHERE order_sn = ? AND version = ?"
)
INTO_TRADE_NO = "INSERT INTO trade_no_claim (trade_no, payment_type, seller, payment_sn, created_ms) VALUES"
# An empty seller may be any: payments from before numbers were claimed have none.
HELD = "SELECT payment_sn FROM trade_no_claim WHERE"
BY_ANOTHER = "(trade_no = ? AND payment_type = ? AND (? IN (seller, '') OR seller = '') AND payment_sn <> ?)"
FIRST_ASK_MS = 30_000


@dataclass(frozen=True, slots=True)
class Before:
    """An order as it was read."""

    version: int
    status: OrderStatus
    payments: Mapping[str, Payment]
    refunds: Mapping[str, Refund]

    @classmethod
    def of(cls, order: Order) -> Self:
        """To be taken before the decision."""
        return cls(order.version, order.status, dict(order.payments), dict(order.refunds))


def order_values(order: Order, before: Before) -> Row:
    """Values of UPDATE_ORDER."""
    row = rows.order_row(order)
    return (*(row[i] for i in _CHANGED_AT), order.order_sn, before.version)


def changed_payments(order: Order, before: Before) -> Iterator[tuple[Payment, str | None, int | None]]:
    """Attempts to store, each with `open_order_sn` and `ask_ms`."""
    for payment in order.payments.values():
        decided_now = payment.is_open and before.status is not order.status
        if payment is not before.payments.get(payment.payment_sn) or decided_now:
            open_sn = order.order_sn if payment.is_open else None
            yield payment, open_sn, ask_ms(payment, order.updated_ms, decided_now=decided_now)


def ask_ms(payment: Payment, now_ms: int, *, decided_now: bool) -> int | None:
    """When to ask the provider: at once if it is open though its order is decided, and once more after the
    link's end if it was closed before; None for never."""
    if payment.is_open:
        return now_ms if decided_now else payment.created_ms + FIRST_ASK_MS
    closed_early = payment.state is PaymentState.CLOSED and now_ms < payment.over_ms
    return payment.over_ms if closed_early else None


def trade_nos(order: Order, before: Before, seller: str) -> Iterator[Row]:
    """Values of INTO_TRADE_NO: the provider's numbers of the money that was found, each for one payment."""
    for payment in order.payments.values():
        known = before.payments.get(payment.payment_sn)
        if payment.is_paid and payment.trade_no and not (known and known.is_paid):
            channel = int(payment.payment_type)
            yield payment.trade_no, channel, seller, payment.payment_sn, order.updated_ms


def changed_refunds(order: Order, before: Before) -> Iterator[tuple[Refund, str | None, int | None]]:
    """Refunds to store, each with `surplus_of` and `try_ms`."""
    for refund in order.refunds.values():
        if refund is not before.refunds.get(refund.refund_sn):
            surplus_of = refund.payment_sn if refund.surplus else None
            yield refund, surplus_of, order.updated_ms if refund.is_open else None
