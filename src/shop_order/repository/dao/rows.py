"""Between rows and the domain: the columns of each table, and the entities they hold.

A new scalar field of an order is one `Column` here, besides the entity's own field and a migration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import TypeVar

from shop_order.domain.entity.cart import CartLine
from shop_order.domain.entity.money import Money
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund, RefundLine
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import Event
from shop_order.domain.implied import MAX_TRIES
from shop_order.domain.ports import OrderStanding
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType, RefundState, RefundType
from shop_order.domain.valueobject.item import OrderItem
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.pkg.tracing import Origin
from shop_order.repository.dao.engine.base import Row
from shop_order.repository.dao.engine.columns import Column, Columns

T = TypeVar("T")


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - columns hold UTC without an offset
_MS = timedelta(milliseconds=1)
ALTERED = (ValueError, LookupError, TypeError, AttributeError)  # raised when a tampered row is read
_PAY_TYPES = {t.code: t for t in PaymentType}


@lru_cache(maxsize=1024)
def time_text(ms: int) -> str | None:
    """Return the UTC text of a DATETIME(3); NULL for 0."""
    return (_EPOCH + ms * _MS).isoformat(" ", "milliseconds") if ms else None


def time_ms(value: str | datetime | None) -> int:
    """Return epoch milliseconds of a DATETIME(3) in UTC; 0 for NULL."""
    if value is None:
        return 0
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return int((at - _EPOCH) / _MS)


def stored_bytes(value: object) -> bytes:
    """Return a BLOB; also a text or number in its place, so that the audit can report it."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()


def counted(column: str) -> str:
    """Return the SQL of a count of tries; one that nobody can have counted starts anew.

    So it delays no job for ever, and adding to it can't overflow.
    """
    return f"CASE WHEN {column} BETWEEN 0 AND {MAX_TRIES - 1} THEN {column} ELSE 0 END"


def lines_text(lines: Sequence[RefundLine]) -> str:
    """Return `goods:nums:share_fen` of each line, joined by commas."""
    return ",".join([f"{line.goods}:{line.nums}:{line.share_fen}" for line in lines])


def refund_lines(text: str) -> tuple[RefundLine, ...]:
    """Return the lines of their text. Raises ValueError, TypeError."""
    parts = [part.split(":") for part in text.split(",")] if text else []
    return tuple([RefundLine(*map(int, part)) for part in parts])


# The columns of the specification's chapter 2, then ours; `order_mount` and `goods_price` are generated.
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
    Column("salt"),
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
    Column("close_reason", changes=True),
)
REFUND = Columns(
    Column("refund_sn"),
    Column("payment_sn"),
    Column("order_sn"),
    Column("amount_fen", changes=True),
    Column("state", write=attrgetter("value"), read=RefundState, changes=True),
    Column("reason"),
    Column("surplus", write=int, read=bool),
    Column("created_ms"),
    Column("finished_ms", changes=True),
    Column("user"),
    Column("type", write=attrgetter("value"), read=RefundType),
    Column("items", "lines", lines_text, refund_lines),
    Column("freight_fen", changes=True),
    Column("requested_by"),
    Column("approvals", changes=True),
    Column("approver", changes=True),
    Column("decision", changes=True),
    Column("parcel_company", changes=True),
    Column("parcel_no", changes=True),
    Column("failure", changes=True),
    Column("out_refund_no", changes=True),
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
ITEM_COLUMNS = f'"order", {ITEM.select}'
REFUND_WITHOUT_LINES = REFUND.select.replace(" items,", " '' AS items,")
OUTBOX_COLUMNS = "event_id, order_sn, version, created_ms, request_id, traceparent"
STANDING_COLUMNS = "order_sn, status, expire_ms, payment_sn"


@dataclass(frozen=True, slots=True)
class Tables:
    """One of the two sets of tables that hold orders with their items, payments and refunds."""

    orders: str
    items: str
    payments: str
    refunds: str


LIVE = Tables("order_info", "order_goods", "payment", "refund")
HISTORY = Tables("order_info_history", "order_goods_history", "payment_history", "refund_history")

id_of = ORDER.of("id")
order_sn_of = ORDER.of("order_sn")
version_of = ORDER.of("version")
created_of = ORDER.of("created_at")


def stored_address(**fields: str) -> PostalAddress:
    """Return an address without validation: newer rules don't make an old order unreadable."""
    address = object.__new__(PostalAddress)
    for field, value in fields.items():
        object.__setattr__(address, field, value)
    return address


_order = ORDER.reader(Order, "items", "money", "last_hash", address=stored_address)
_payment = PAYMENT.reader(Payment)
_refund = REFUND.reader(Refund)
_event = EVENT.reader(Event, "request_id", "traceparent")
cart_line_of = CART_LINE.reader(CartLine)


def order_of(
    row: Row, items: Sequence[Row], payments: Sequence[Row], refunds: Sequence[Row], hash: bytes
) -> Order:
    """Return the order of a row with its child rows. Raises UnreadableRow."""
    try:
        return _order(
            row,
            tuple([OrderItem(*item[1:]) for item in items]),
            Money(
                {payment[0]: payment_of(payment) for payment in payments},
                {refund[0]: refund_of(refund) for refund in refunds},
            ),
            hash,
        )
    except ALTERED as altered:
        raise UnreadableRow(order_sn_of(row), altered) from altered


def or_error(read: Callable[..., T], *args: object) -> T | UnreadableRow:
    """Return `read(*args)`, or its UnreadableRow, so that the other rows can be read."""
    try:
        return read(*args)
    except UnreadableRow as error:
        return error


def require_readable(orders: Sequence[Order | UnreadableRow]) -> list[Order]:
    """Return the orders. Raises UnreadableRow if one of them is an error."""
    for order in orders:
        if isinstance(order, UnreadableRow):
            raise order
    return [order for order in orders if isinstance(order, Order)]


def standing_of(row: Row) -> OrderStanding:
    """Return the standing of a row of STANDING_COLUMNS. Raises UnreadableRow."""
    order_sn, status, expire_ms, payment_sn = row
    try:
        return OrderStanding(OrderStatus(status), int(expire_ms), was_paid=bool(payment_sn))
    except (ValueError, TypeError) as altered:
        raise UnreadableRow(order_sn, altered) from altered


def item_rows(order: Order) -> list[Row]:
    """Return the values of ITEM_COLUMNS, created_at and updated_at."""
    created = time_text(order.created_ms)
    return [(order.id, *ITEM.row_of(item), created, created) for item in order.items]


def payment_of(row: Row) -> Payment:
    """Return the payment of a row. Raises UnreadableRow."""
    try:
        return _payment(row)
    except ValueError as altered:
        raise UnreadableRow(row[0], altered) from altered


def refund_of(row: Row) -> Refund:
    """Return the refund of a row. Raises UnreadableRow."""
    try:
        return _refund(row)
    except ALTERED as altered:
        raise UnreadableRow(row[0], altered) from altered


def event_of(row: Row) -> Event:
    """Return the event of a row, which may end with the origin of its request."""
    return _event(row, *(row[len(EVENT.names) :] or ("", "")))


def outbox_row(e: Event, origin: Origin) -> Row:
    """Return the values of OUTBOX_COLUMNS."""
    return (e.id, e.order_sn, e.version, e.created_ms, *origin)
