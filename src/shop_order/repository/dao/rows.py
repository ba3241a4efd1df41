"""Between rows and the domain, for every SQL engine. Columns as in chapter 2, then ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shop_order.domain.entity.cart import CartLine
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import Unreadable
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import Standing
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType, RefundState
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import OrderItem
from shop_order.pkg.tracing import Origin

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - columns hold UTC without an offset
_MS = timedelta(milliseconds=1)

# `order_mount` and `goods_price` are generated from the fen columns: they can't disagree.
ORDER_COLUMNS = (
    "id, user, order_sn, pay_type, status, trade_no, pay_time, address, signer_name, signer_mobile, post,"
    " note, created_at, updated_at, province, city, district, total_fen, discount_fen, freight_fen, pay_fen,"
    " expire_ms, due_ms, payment_sn, cancel_reason, logistics_company, logistics_no, shipped_ms,"
    " completed_ms, refund_status, version, return_url, cancel_url"
)
STANDING_COLUMNS = "order_sn, status, expire_ms"
ITEM_COLUMNS = '"order", id, goods, goods_name, goods_image, price_fen, nums'
PAYMENT_COLUMNS = (
    "payment_sn, order_sn, user, payment_type, trade_type, amount_fen, state, payment_url, created_ms,"
    " expire_ms, trade_no, paid_ms, refunded_fen"
)
REFUND_COLUMNS = (
    "refund_sn, payment_sn, order_sn, amount_fen, state, reason, surplus, created_ms, finished_ms"
)
EVENT_COLUMNS = "id, order_sn, version, type, payload, prev_hash, hash, created_ms"
OUTBOX_COLUMNS = "event_id, order_sn, version, created_ms, request_id, traceparent"
WAITING_COLUMNS = f"{', '.join(f'e.{c}' for c in EVENT_COLUMNS.split(', '))}, o.request_id, o.traceparent"
CART_COLUMNS = "id, goods, nums, checked, created_at, updated_at"

Row = Sequence[Any]
_ALTERED = (ValueError, LookupError, TypeError, AttributeError)  # what reading another's values ends with
_PAY_TYPES = {t.code: t for t in PaymentType}


def time_text(ms: int) -> str | None:
    """UTC with milliseconds, as DATETIME(3) takes it; NULL for 0."""
    return (_EPOCH + ms * _MS).isoformat(" ", "milliseconds") if ms else None


def time_ms(value: str | datetime | None) -> int:
    """Epoch milliseconds of a DATETIME(3) in UTC; 0 for NULL."""
    if value is None:
        return 0
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return int((at - _EPOCH) / _MS)


def order_row(order: Order) -> Row:
    """Values of ORDER_COLUMNS."""
    a = order.address
    created = time_text(order.created_ms)
    updated = created if order.updated_ms == order.created_ms else time_text(order.updated_ms)
    return (
        order.id, order.user, order.order_sn, order.pay_type.code, int(order.status), order.trade_no,
        time_text(order.pay_ms), a.detail, a.name, a.phone, a.post, order.note, created, updated,
        a.province, a.city, a.district, order.total_fen, order.discount_fen, order.freight_fen, order.pay_fen,
        order.expire_ms, order.due_ms, order.payment_sn, order.cancel_reason, order.logistics_company,
        order.logistics_no, order.shipped_ms, order.completed_ms, int(order.refund_status), order.version,
        order.return_url, order.cancel_url,
    )  # fmt: skip


def order_of(
    row: Row, items: Sequence[Row], payments: Sequence[Row], refunds: Sequence[Row], hash: bytes
) -> Order:
    """The aggregate as it was stored. Raises Unreadable."""
    try:
        return _order_of(row, items, payments, refunds, hash)
    except _ALTERED as altered:
        raise Unreadable(row[2], altered) from altered


def order_or_why(
    row: Row, items: Sequence[Row], payments: Sequence[Row], refunds: Sequence[Row], hash: bytes
) -> Order | Unreadable:
    """The aggregate, or why there is none, so that it keeps no other from being read."""
    try:
        return order_of(row, items, payments, refunds, hash)
    except Unreadable as why:
        return why


def all_of(orders: Sequence[Order | Unreadable]) -> list[Order]:
    """The orders. Raises Unreadable if one of them can't be read."""
    for order in orders:
        if isinstance(order, Unreadable):
            raise order
    return [order for order in orders if isinstance(order, Order)]


def _order_of(
    row: Row, items: Sequence[Row], payments: Sequence[Row], refunds: Sequence[Row], hash: bytes
) -> Order:
    return Order(
        id=row[0],
        user=row[1],
        order_sn=row[2],
        pay_type=_PAY_TYPES[row[3]],
        status=OrderStatus(row[4]),
        trade_no=row[5],
        pay_ms=time_ms(row[6]),
        address=stored_address(row),
        note=row[11],
        created_ms=time_ms(row[12]),
        updated_ms=time_ms(row[13]),
        total_fen=row[17],
        discount_fen=row[18],
        freight_fen=row[19],
        pay_fen=row[20],
        expire_ms=row[21],
        due_ms=row[22],
        payment_sn=row[23],
        cancel_reason=row[24],
        logistics_company=row[25],
        logistics_no=row[26],
        shipped_ms=row[27],
        completed_ms=row[28],
        version=row[30],
        return_url=row[31],
        cancel_url=row[32],
        last_hash=hash,
        items=tuple(OrderItem(*item[1:]) for item in items),
        payments={p[0]: payment_of(p) for p in payments},
        refunds={r[0]: refund_of(r) for r in refunds},
    )


def stored_address(row: Row) -> Address:
    """The address as it was accepted then: rules that came later don't make an old order unreadable."""
    address = object.__new__(Address)
    values = {"detail": row[7], "name": row[8], "phone": row[9], "post": row[10]}
    for field, value in (values | {"province": row[14], "city": row[15], "district": row[16]}).items():
        object.__setattr__(address, field, value)
    return address


def standing_or_why(row: Row) -> Standing | Unreadable:
    """From STANDING_COLUMNS."""
    try:
        return Standing(OrderStatus(row[1]), int(row[2]))
    except (ValueError, TypeError) as altered:
        return Unreadable(row[0], altered)


def item_rows(order: Order) -> list[Row]:
    """Values of ITEM_COLUMNS, then created_at and updated_at."""
    created = time_text(order.created_ms)
    return [
        (order.id, i.id, i.goods, i.goods_name, i.goods_image, i.price_fen, i.nums, created, created)
        for i in order.items
    ]


def payment_row(p: Payment) -> Row:
    """Values of PAYMENT_COLUMNS."""
    return (
        p.payment_sn, p.order_sn, p.user, int(p.payment_type), p.trade_type, p.amount_fen, p.state.value,
        p.payment_url, p.created_ms, p.expire_ms, p.trade_no, p.paid_ms, p.refunded_fen,
    )  # fmt: skip


def payment_of(row: Row) -> Payment:
    """The attempt of PAYMENT_COLUMNS. Raises Unreadable."""
    try:
        payment_type, state = PaymentType(row[3]), PaymentState(row[6])
    except ValueError as altered:
        raise Unreadable(row[0], altered) from altered
    return Payment(
        payment_sn=row[0], order_sn=row[1], user=row[2], payment_type=payment_type, trade_type=row[4],
        amount_fen=row[5], state=state, payment_url=row[7], created_ms=row[8],
        expire_ms=row[9], trade_no=row[10], paid_ms=row[11], refunded_fen=row[12],
    )  # fmt: skip


def payment_or_why(row: Row) -> Payment | Unreadable:
    """The attempt, or why there is none."""
    try:
        return payment_of(row)
    except Unreadable as why:
        return why


def refund_row(r: Refund) -> Row:
    """Values of REFUND_COLUMNS."""
    return (
        r.refund_sn, r.payment_sn, r.order_sn, r.amount_fen, r.state.value, r.reason, int(r.surplus),
        r.created_ms, r.finished_ms,
    )  # fmt: skip


def refund_of(row: Row) -> Refund:
    """The refund of REFUND_COLUMNS. Raises Unreadable."""
    try:
        state = RefundState(row[4])
    except ValueError as altered:
        raise Unreadable(row[0], altered) from altered
    return Refund(
        refund_sn=row[0], payment_sn=row[1], order_sn=row[2], amount_fen=row[3], state=state,
        reason=row[5], surplus=bool(row[6]), created_ms=row[7], finished_ms=row[8],
    )  # fmt: skip


def event_row(e: Event) -> Row:
    """Values of EVENT_COLUMNS."""
    return (e.id, e.order_sn, e.version, e.type, e.payload, e.prev_hash, e.hash, e.created_ms)


def event_of(row: Row) -> Event:
    """The event of EVENT_COLUMNS, or of WAITING_COLUMNS."""
    payload, prev_hash, hash = map(stored_bytes, row[4:7])
    return Event(row[0], row[1], row[2], row[3], payload, prev_hash, hash, *row[7:])


def outbox_row(e: Event, origin: Origin) -> Row:
    """Values of OUTBOX_COLUMNS."""
    return (e.id, e.order_sn, e.version, e.created_ms, *origin)


def stored_bytes(value: object) -> bytes:
    """A BLOB; what somebody made a text or a number of is still read, so that the audit can name it."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()


def cart_line_of(row: Row) -> CartLine:
    """The line of CART_COLUMNS."""
    return CartLine(row[0], row[1], row[2], bool(row[3]), time_ms(row[4]), time_ms(row[5]))


def marks(n: int) -> str:
    """So many placeholders."""
    return ", ".join("?" * n)


def column_count(columns: str) -> int:
    """How many columns a list names."""
    return columns.count(",") + 1
