"""A new order as the rows of every SQL engine, and what must be so when they are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shop_order.domain.entity.order import Order
from shop_order.domain.event.order_events import seal
from shop_order.domain.ports import Key
from shop_order.pkg.tracing import origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import EVENT_COLUMNS, ITEM_COLUMNS, ORDER_COLUMNS, OUTBOX_COLUMNS, Row

KEEP_KEYS_MS = 86_400_000
TOMBSTONE = 0  # an order id no order has

KEY_COLUMNS = 'scope, "key", command_hash, order_sn, payment_sn, created_ms'
INTO_CLAIM = "INSERT INTO order_sn_claim (order_sn, order_id, created_ms) VALUES"
INTO_TOMBSTONE = "INSERT INTO order_sn_tombstone (order_sn, created_ms) VALUES"
PLANTED_SINCE = "SELECT count(*) FROM order_sn_tombstone WHERE created_ms > ?"
TOMBSTONES_OVER = (
    "SELECT order_sn FROM order_sn_tombstone WHERE created_ms <= ? ORDER BY created_ms, order_sn LIMIT 500"
)
INTO_KEY = f"INSERT INTO idempotency_key ({KEY_COLUMNS}) VALUES"
INTO_ORDER = f"INSERT INTO order_info ({ORDER_COLUMNS}) VALUES"
INTO_ITEM = f"INSERT INTO order_goods ({ITEM_COLUMNS}, created_at, updated_at) VALUES"
INTO_EVENT = f"INSERT INTO order_event ({EVENT_COLUMNS}) VALUES"
INTO_OUTBOX = f"INSERT INTO outbox ({OUTBOX_COLUMNS}) VALUES"


@dataclass(frozen=True, slots=True)
class Placing:
    """A new order as its rows, made before the writer's turn, and what must be so when it is stored."""

    order_id: int
    order_sn: str
    user: int
    goods: Sequence[int]
    cart_version: int | None
    key: Key | None
    unpaid_limit: int
    claim: Row
    order: Row
    items: Sequence[Row]
    events: Sequence[Row]
    outbox: Sequence[Row]
    last_hash: bytes
    in_time: Callable[[], bool]


def placing(
    order: Order,
    next_id: Callable[[], int],
    cart_version: int | None,
    key: Key | None,
    unpaid_limit: int,
    in_time: Callable[[], bool],
) -> Placing:
    """The rows of a new order, its events and outbox."""
    events = []
    asked = origin()
    last_hash = order.last_hash  # the order's own moves on only when it is stored
    for happened in order.happened:
        event = seal(happened, id=next_id(), order_sn=order.order_sn, prev_hash=last_hash)
        last_hash = event.hash
        events.append(event)
    return Placing(
        order_id=order.id,
        order_sn=order.order_sn,
        user=order.user,
        goods=[item.goods for item in order.items],
        cart_version=cart_version,
        key=key,
        unpaid_limit=unpaid_limit,
        claim=(order.order_sn, order.id, order.created_ms),
        order=rows.order_row(order),
        items=rows.item_rows(order),
        events=[rows.event_row(event) for event in events],
        outbox=[rows.outbox_row(event, asked) for event in events],
        last_hash=last_hash,
        in_time=in_time,
    )


@lru_cache(maxsize=512)
def insertion(into: str, columns: int, size: int, otherwise: str) -> str:
    """The statement for so many rows."""
    return f"{into} {', '.join([f'({rows.marks(columns)})'] * size)}{otherwise}"


def key_row(key: Key, order_sn: str, payment_sn: str) -> Row:
    """Values of KEY_COLUMNS."""
    return (key.scope, key.key, key.command_hash, order_sn, payment_sn, key.created_ms)
