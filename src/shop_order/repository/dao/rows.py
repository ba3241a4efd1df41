"""Between rows and the domain: the columns of each table, and the entities they tell of.

A new scalar field of an order is one `Column` here, besides the entity's own field and a migration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter

from shop_order.domain.entity.cart import CartLine
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import Standing
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType, RefundState
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import OrderItem
from shop_order.pkg.tracing import Origin
from shop_order.repository.dao.engine.base import Row
from shop_order.repository.dao.mapping import Column, Columns

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - columns hold UTC without an offset
_MS = timedelta(milliseconds=1)
_ALTERED = (ValueError, LookupError, TypeError, AttributeError)  # what reading a tampered row ends with
_PAY_TYPES = {t.code: t for t in PaymentType}


@lru_cache(maxsize=1024)
def time_text(ms: int) -> str | None:
    """UTC with milliseconds, as DATETIME(3) takes it; NULL for 0."""
    return (_EPOCH + ms * _MS).isoformat(" ", "milliseconds") if ms else None


def time_ms(value: str | datetime | None) -> int:
    """Epoch milliseconds of a DATETIME(3) in UTC; 0 for NULL."""
    if value is None:
        return 0
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return int((at - _EPOCH) / _MS)


def stored_bytes(value: object) -> bytes:
    """A BLOB. One that was replaced by a text or a number is still read, so that the audit can name it."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()


# Columns as in chapter 2, then ours. `order_mount` and `goods_price` are generated from the fen columns.
ORDER = Columns(
    Column("id"),
    Column("user"),
    Column("order_sn"),
    Column("pay_type", write=attrgetter("code"), read=_PAY_TYPES.__getitem__, changes=True),
    Column("status", write=int, read=OrderStatus, changes=True),
    Column("trade_no", changes=True),
    Column("pay_time", "pay_ms", time_text, time_ms, changes=True),
    Column("address", "address.detail"),
    Column("signer_name", "address.name"),
    Column("signer_mobile", "address.phone"),
    Column("post", "address.post"),
    Column("note"),
    Column("created_at", "created_ms", time_text, time_ms),
    Column("updated_at", "updated_ms", time_text, time_ms, changes=True),
    Column("province", "address.province"),
    Column("city", "address.city"),
    Column("district", "address.district"),
    Column("total_fen"),
    Column("discount_fen"),
    Column("freight_fen"),
    Column("pay_fen"),
    Column("expire_ms"),
    Column("due_ms", changes=True),
    Column("payment_sn", changes=True),
    Column("cancel_reason", changes=True),
    Column("logistics_company", changes=True),
    Column("logistics_no", changes=True),
    Column("shipped_ms", changes=True),
    Column("completed_ms", changes=True),
    Column("refund_status", write=int, changes=True, derived=True),
    Column("version", changes=True),
    Column("return_url"),
    Column("cancel_url"),
    Column("cancel_code", changes=True),
)
ITEM = Columns(
    Column("id"),
    Column("goods"),
    Column("goods_name"),
    Column("goods_image"),
    Column("price_fen"),
    Column("nums"),
)
PAYMENT = Columns(
    Column("payment_sn"),
    Column("order_sn"),
    Column("user"),
    Column("payment_type", write=int, read=PaymentType),
    Column("trade_type"),
    Column("amount_fen"),
    Column("state", write=attrgetter("value"), read=PaymentState, changes=True),
    Column("payment_url"),
    Column("created_ms"),
    Column("expire_ms"),
    Column("trade_no", changes=True),
    Column("paid_ms", changes=True),
    Column("refunded_fen", changes=True),
)
REFUND = Columns(
    Column("refund_sn"),
    Column("payment_sn"),
    Column("order_sn"),
    Column("amount_fen"),
    Column("state", write=attrgetter("value"), read=RefundState, changes=True),
    Column("reason"),
    Column("surplus", write=int, read=bool),
    Column("created_ms"),
    Column("finished_ms", changes=True),
)
EVENT = Columns(
    Column("id"),
    Column("order_sn"),
    Column("version"),
    Column("type"),
    Column("payload", read=stored_bytes),
    Column("prev_hash", read=stored_bytes),
    Column("hash", read=stored_bytes),
    Column("created_ms"),
)
CART_LINE = Columns(
    Column("id"),
    Column("goods"),
    Column("nums", changes=True),
    Column("checked", write=int, read=bool, changes=True),
    Column("created_at", "created_ms", time_text, time_ms),
    Column("updated_at", "updated_ms", time_text, time_ms, changes=True),
)
ORDER_COLUMNS = ORDER.select
ITEM_COLUMNS = f'"order", {ITEM.select}'
PAYMENT_COLUMNS = PAYMENT.select
REFUND_COLUMNS = REFUND.select
EVENT_COLUMNS = EVENT.select
OUTBOX_COLUMNS = "event_id, order_sn, version, created_ms, request_id, traceparent"
STANDING_COLUMNS = "order_sn, status, expire_ms"


@dataclass(frozen=True, slots=True)
class Tables:
    """Where an order lies: in one set of tables or in the other, with all that belongs to it."""

    orders: str
    items: str
    payments: str
    refunds: str


LIVE = Tables("order_info", "order_goods", "payment", "refund")
HISTORY = Tables("order_info_history", "order_goods_history", "payment_history", "refund_history")

order_row = ORDER.row
payment_row = PAYMENT.row
refund_row = REFUND.row
event_row = EVENT.row_of
id_of = ORDER.of("id")
order_sn_of = ORDER.of("order_sn")
version_of = ORDER.of("version")
created_of = ORDER.of("created_at")


def stored_address(**fields: str) -> Address:
    """The address as it was accepted then: rules that came later don't make an old order unreadable."""
    address = object.__new__(Address)
    for field, value in fields.items():
        object.__setattr__(address, field, value)
    return address


_order = ORDER.reader(Order, "items", "payments", "refunds", "last_hash", address=stored_address)
_payment = PAYMENT.reader(Payment)
_refund = REFUND.reader(Refund)
_event = EVENT.reader(Event, "request_id", "traceparent")
cart_line_of = CART_LINE.reader(CartLine)


def order_of(
    row: Row, items: Sequence[Row], payments: Sequence[Row], refunds: Sequence[Row], hash: bytes
) -> Order:
    """The aggregate of ORDER_COLUMNS and of what belongs to it. Raises UnreadableRow."""
    try:
        return _order(
            row,
            tuple([OrderItem(*item[1:]) for item in items]),
            {payment[0]: payment_of(payment) for payment in payments},
            {refund[0]: refund_of(refund) for refund in refunds},
            hash,
        )
    except _ALTERED as altered:
        raise UnreadableRow(order_sn_of(row), altered) from altered


def order_or_why(
    row: Row, items: Sequence[Row], payments: Sequence[Row], refunds: Sequence[Row], hash: bytes
) -> Order | UnreadableRow:
    """The aggregate, or why there is none, so that it keeps no other from being read."""
    try:
        return order_of(row, items, payments, refunds, hash)
    except UnreadableRow as why:
        return why


def all_of(orders: Sequence[Order | UnreadableRow]) -> list[Order]:
    """The orders. Raises UnreadableRow if one of them can't be read."""
    for order in orders:
        if isinstance(order, UnreadableRow):
            raise order
    return [order for order in orders if isinstance(order, Order)]


def standing_or_why(row: Row) -> Standing | UnreadableRow:
    """From STANDING_COLUMNS."""
    order_sn, status, expire_ms = row
    try:
        return Standing(OrderStatus(status), int(expire_ms))
    except (ValueError, TypeError) as altered:
        return UnreadableRow(order_sn, altered)


def item_rows(order: Order) -> list[Row]:
    """Values of ITEM_COLUMNS, then created_at and updated_at."""
    created = time_text(order.created_ms)
    return [(order.id, *ITEM.row_of(item), created, created) for item in order.items]


def payment_of(row: Row) -> Payment:
    """The attempt of PAYMENT_COLUMNS. Raises UnreadableRow."""
    try:
        return _payment(row)
    except ValueError as altered:
        raise UnreadableRow(row[0], altered) from altered


def payment_or_why(row: Row) -> Payment | UnreadableRow:
    """The attempt, or why there is none."""
    try:
        return payment_of(row)
    except UnreadableRow as why:
        return why


def refund_of(row: Row) -> Refund:
    """The refund of REFUND_COLUMNS. Raises UnreadableRow."""
    try:
        return _refund(row)
    except ValueError as altered:
        raise UnreadableRow(row[0], altered) from altered


def event_of(row: Row) -> Event:
    """The event of EVENT_COLUMNS, maybe followed by the origin of its request."""
    return _event(row, *(row[len(EVENT.names) :] or ("", "")))


def outbox_row(e: Event, origin: Origin) -> Row:
    """Values of OUTBOX_COLUMNS."""
    return (e.id, e.order_sn, e.version, e.created_ms, *origin)


def column_count(columns: str) -> int:
    """How many columns a list names."""
    return columns.count(",") + 1
