"""The books of an order: do its amounts, its stock and its figures agree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund_amounts import goods_fen
from shop_order.domain.order_log import OrderSummary
from shop_order.domain.ports import StockLease
from shop_order.domain.status import OrderStatus, RefundState

_PAID = frozenset({OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.COMPLETED})


def money_totals(order: Order) -> tuple[int, int]:
    """The amounts paid and refunded of an order, in fen."""
    payments = order.payments.values()
    return sum(p.amount_fen for p in payments if p.is_paid), sum(p.refunded_fen for p in payments)


def statistics_faults(order: Order, counted: OrderSummary) -> list[str]:
    """Where the order log's summary differs from the order."""
    paid_fen, refunded_fen = money_totals(order)
    expected = {
        "status": int(order.status),
        "to pay": order.pay_fen,
        "paid": paid_fen,
        "refunded": refunded_fen,
    }
    found = (counted.status, counted.pay_fen, counted.paid_fen, counted.refunded_fen)
    return [
        f"the order log counts {count} as {what}, the order says {value}: run `shop-order stats rebuild`"
        for (what, value), count in zip(expected.items(), found, strict=True)
        if value != count
    ]


def money_faults(order: Order) -> Iterator[str]:
    """Where an order's amounts do not agree."""
    total_fen = sum(item.total_fen for item in order.items)
    if order.total_fen != total_fen:
        yield f"the items cost {total_fen} fen, the order says {order.total_fen}"
    if order.pay_fen != max(order.total_fen - order.discount_fen + order.freight_fen, 1):
        yield "pay_fen is not total - discount + freight"
    own = order.payments.get(order.payment_sn)
    if order.status in _PAID and (own is None or not own.is_paid or own.amount_fen != order.pay_fen):
        yield f"is {order.status.name} without a payment of {order.pay_fen} fen"
    if order.status is OrderStatus.PENDING and any(p.is_paid for p in order.payments.values()):
        yield "has money but waits for payment"
    if sum(p.is_open for p in order.payments.values()) > 1:
        yield "has two open attempts"
    for payment in order.payments.values():
        yield from _payment_faults(order, payment)
    yield from _refund_faults(order)


def _payment_faults(order: Order, payment: Payment) -> Iterator[str]:
    sn = payment.payment_sn
    refunds = [refund for refund in order.refunds.values() if refund.payment_sn == sn]
    sum_fen = sum(refund.amount_fen for refund in refunds if refund.is_refunded)
    if sum_fen != payment.refunded_fen:
        yield f"{sn}: refunds of {sum_fen} fen, the payment says {payment.refunded_fen}"
    promised_fen = sum(refund.amount_fen for refund in refunds if refund.is_decided)
    if promised_fen > (payment.amount_fen if payment.is_paid else 0):
        yield f"{sn}: refunds of {promised_fen} fen, more than was paid"
    surplus = payment.is_paid and sn != order.payment_sn
    if surplus and sum(refund.amount_fen for refund in refunds if refund.surplus) != payment.amount_fen:
        yield f"{sn}: surplus money is not being refunded"
    if any(refund.state is RefundState.FAILED for refund in refunds):
        yield f"{sn}: the provider refused a refund"


def _refund_faults(order: Order) -> Iterator[str]:
    """Refunds of more pieces, or of another payment, than the order has; amounts that their parts exceed."""
    sold = {item.goods: item.nums for item in order.items}
    taken: Counter[int] = Counter()
    for refund in order.refunds.values():
        own = refund.payment_sn == order.payment_sn
        if refund.payment_sn not in order.payments or own is refund.surplus:
            yield f"{refund.refund_sn}: refunds another payment"
        if not 0 <= refund.freight_fen <= refund.amount_fen:
            yield f"{refund.refund_sn}: has more freight than it refunds"
        if refund.is_live:
            taken.update({line.goods: line.nums for line in refund.lines})
    for goods, nums in taken.items():
        if nums > sold.get(goods, 0):
            yield f"refunds {nums} pieces of goods {goods}, {sold.get(goods, 0)} were sold"
    freight_fen = sum(refund.freight_fen for refund in order.refunds.values() if refund.is_decided)
    if freight_fen > (paid_fen := order.pay_fen - goods_fen(order)):
        yield f"refunds {freight_fen} fen of freight, {paid_fen} were paid"


def stock_fault(order: Order, lease: StockLease | None) -> str:
    """How the lease differs from what the order needs; empty if it does not."""
    if order.status is OrderStatus.CANCELLED and not order.payment_sn:
        return "is cancelled but holds stock" if lease is not None and lease.state != "released" else ""
    wanted = "reserved" if order.status is OrderStatus.PENDING else "confirmed"
    if lease is None:
        return "has no stock"
    if lease.state != wanted:
        return f"is {order.status.name} but its stock is {lease.state}"
    if sorted(lease.lines) != sorted((item.goods, item.nums) for item in order.items):
        return "holds other stock than it sold"
    came_back: Counter[int] = Counter()
    for refund in order.refunds.values():
        if refund.returned_goods:
            came_back.update({line.goods: line.nums for line in refund.lines})
    if Counter(dict(lease.returned)) != came_back:
        return f"got back {_pieces(dict(lease.returned))}, its refunds returned {_pieces(came_back)}"
    return ""


def _pieces(nums: dict[int, int] | Counter[int]) -> str:
    return ", ".join(f"{number} of goods {goods}" for goods, number in sorted(nums.items())) or "nothing"
