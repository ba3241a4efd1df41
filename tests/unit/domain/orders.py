"""Orders in every state, for the tests of the domain."""

from __future__ import annotations

import itertools

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.domain.valueobject.parties import Actor, PostalAddress, Role

NOW_MS = 1_795_000_000_000
PAY_TIMEOUT_MS = 1_800_000
WEEK_MS = 604_800_000
BUYER = Actor(Role.USER, 7)
ADMIN = Actor(Role.ADMIN, 1)
ADDRESS = PostalAddress("王小明", "13800138000", "人民路 1 号")
GOODS = {1: Goods(1, "苹果", "a.png", 1999, True), 2: Goods(2, "梨", "b.png", 5, True)}
SN = "261121080000000000000000001"
_numbers = itertools.count(1)


def place(*lines: tuple[int, int], **other: object) -> Order:
    """A pending order, one apple and two pears unless told otherwise."""
    how: dict[str, object] = {
        "order_sn": SN,
        "actor": BUYER,
        "address": ADDRESS,
        "note": "",
        "pay_type": PaymentType.NOT_CHOSEN,
        "now_ms": NOW_MS,
        "pay_timeout_ms": PAY_TIMEOUT_MS,
        "next_id": _numbers.__next__,
        "salt": "5a" * 16,
    }
    goods = other.pop("goods", GOODS)
    return Order.place([Line(*line) for line in lines or ((1, 1), (2, 2))], goods, **(how | other))  # type: ignore[arg-type]


def attempt(order: Order, trade_type: str = "page") -> Payment:
    """An attempt that is not opened yet."""
    return Payment(
        f"P{next(_numbers):027d}",
        order.order_sn,
        order.user,
        PaymentType.ALIPAY,
        trade_type,
        order.pay_fen,
        PaymentState.PENDING,
        "",
        NOW_MS,
        order.expire_ms,
    )


def money(order: Order, payment: Payment, *, amount_fen: int = 0, trade_no: str = "") -> None:
    """The provider says it has the buyer's money."""
    order.receive_payment(
        payment.payment_sn,
        trade_no=trade_no or f"T{payment.payment_sn}",
        amount_fen=amount_fen or payment.amount_fen,
        paid_ms=NOW_MS + 1,
        now_ms=NOW_MS + 2,
        refund_sn=f"R{payment.payment_sn[1:]}",
    )


def order_in(status: OrderStatus) -> Order:
    """An order that came to `status` by its own verbs."""
    order = place()
    if status is OrderStatus.CANCELLED:
        order.cancel("", BUYER, NOW_MS, code="BUYER")
    if status in (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.COMPLETED):
        payment = attempt(order)
        order.open_attempt(payment, BUYER, NOW_MS)
        money(order, payment)
    if status in (OrderStatus.SHIPPED, OrderStatus.COMPLETED):
        order.ship("顺丰", "SF1", ADMIN, NOW_MS, auto_confirm_ms=WEEK_MS)
    if status is OrderStatus.COMPLETED:
        order.complete(BUYER, NOW_MS)
    assert order.status is status
    return order
