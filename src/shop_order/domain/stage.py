"""Where the payment of an order stands, as its buyer sees it."""

from __future__ import annotations

from enum import StrEnum

from shop_order.domain.entity.order import PAY_WINDOW_MS, Order
from shop_order.domain.status import SETTLED_REFUND, OrderStatus, RefundState


class Stage(StrEnum):
    """What the cashier says. `OVER`: unpaid, its time has ended, and it is about to be cancelled."""

    PENDING = "pending"
    CONFIRMING = "confirming"
    OVER = "over"
    PAID = "paid"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


def stage_of(order: Order, now_ms: int) -> Stage:
    """The stage. Of a cancelled order all money counts that comes back, of another only its own."""
    if order.status is OrderStatus.PENDING:
        if order.open_payment():
            return Stage.CONFIRMING
        return Stage.PENDING if now_ms < order.expire_ms else Stage.OVER
    cancelled = order.status is OrderStatus.CANCELLED
    refunds = [
        refund
        for refund in order.refunds.values()
        if refund.state is not RefundState.REJECTED and (cancelled or not refund.surplus)
    ]
    if any(refund.state not in SETTLED_REFUND for refund in refunds):
        return Stage.REFUNDING
    back_fen = sum(refund.amount_fen for refund in refunds)
    if back_fen and (cancelled or back_fen >= order.pay_fen):
        return Stage.REFUNDED
    return Stage(order.status.name.lower())


def may_pay(order: Order, now_ms: int) -> bool:
    """Whether a buyer who wants to pay now is let through to a provider."""
    return order.status is OrderStatus.PENDING and order.expire_ms - now_ms >= PAY_WINDOW_MS


def refunds_fen(order: Order) -> tuple[int, int]:
    """What is on its way back to the buyer, and what is back, in fen; a refund that failed is still owed."""
    there = [r for r in order.refunds.values() if r.state is not RefundState.REJECTED]
    back = sum(r.amount_fen for r in there if r.state in SETTLED_REFUND)
    return sum(r.amount_fen for r in there) - back, back
