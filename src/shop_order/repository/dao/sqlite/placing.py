"""New orders in SQLite: those of one batch are stored together, by a handful of statements.

Every statement hands Python's lock over and takes it back, which costs more than the insert itself: so a
batch inserts many rows at once. Only if one of its orders meets a conflict is each of them stored alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import CartChanged, PlacingGivenUp, TooManyUnpaid
from shop_order.domain.event.order_events import seal
from shop_order.domain.ports import Key, KeyRecord, KeyTaken, NumberTaken
from shop_order.domain.status import OrderStatus
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import EVENT_COLUMNS, ITEM_COLUMNS, ORDER_COLUMNS, Row
from shop_order.repository.dao.sqlite.database import BulkJob

KEEP_KEYS_MS = 86_400_000
TOMBSTONE = 0  # an order id no order has
MOST_ROWS = 32  # of one statement: stays below the 999 variables an old SQLite allows

KEY_COLUMNS = 'scope, "key", command_hash, order_sn, payment_sn, created_ms'
INTO_CLAIM = "INSERT INTO order_sn_claim (order_sn, order_id, created_ms) VALUES"
INTO_KEY = f"INSERT INTO idempotency_key ({KEY_COLUMNS}) VALUES"
INTO_ORDER = f"INSERT INTO order_info ({ORDER_COLUMNS}) VALUES"
INTO_ITEM = f"INSERT INTO order_goods ({ITEM_COLUMNS}, created_at, updated_at) VALUES"
INTO_EVENT = f"INSERT INTO order_event ({EVENT_COLUMNS}) VALUES"
INTO_OUTBOX = "INSERT INTO outbox (event_id, order_sn, version, created_ms) VALUES"
UNLESS_THERE = " ON CONFLICT DO NOTHING"
INSERT_CLAIM = f"{INTO_CLAIM} (?, ?, ?){UNLESS_THERE}"
# A key whose time is over gives way, also before the purge has come by.
INSERT_KEY = (
    f"{INTO_KEY} (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET command_hash = excluded.command_hash,"
    " order_sn = excluded.order_sn, payment_sn = excluded.payment_sn, created_ms = excluded.created_ms"
    " WHERE idempotency_key.created_ms <= ?"
)


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


def placing(
    order: Order, next_id: Callable[[], int], cart_version: int | None, key: Key | None, unpaid_limit: int
) -> BulkJob[Placing]:
    """The job that stores a new order, its events, outbox and key, and takes its lines out of the cart."""
    events = []
    last_hash = order.last_hash  # the order's own moves on only when it is stored
    for happened in order.happened:
        event = seal(happened, id=next_id(), order_sn=order.order_sn, prev_hash=last_hash)
        last_hash = event.hash
        events.append(event)
    one = Placing(
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
        outbox=[(event.id, event.order_sn, event.version, event.created_ms) for event in events],
        last_hash=last_hash,
    )
    return BulkJob(one, store_one, store_many)


def store_one(conn: sqlite3.Connection, new: Placing) -> None:
    """Raises NumberTaken, PlacingGivenUp, KeyTaken, TooManyUnpaid, CartChanged."""
    if not claim(conn, new):
        return  # our own row: the answer to an earlier commit was lost
    if new.key:
        take_key(conn, new.key, new.order_sn, "")
    if new.unpaid_limit and count_unpaid(conn, new.user) >= new.unpaid_limit:
        raise TooManyUnpaid(new.unpaid_limit)
    if new.cart_version is not None and not take_from_cart(conn, new):
        raise CartChanged
    store_rows(conn, [new])


def store_many(conn: sqlite3.Connection, news: Sequence[Placing]) -> bool:
    """The same for a batch; False, with rows left to be undone, if one of them meets a conflict."""
    if insert(conn, INTO_CLAIM, [new.claim for new in news], UNLESS_THERE) < len(news):
        return False
    keys = [key_row(new.key, new.order_sn, "") for new in news if new.key]
    if insert(conn, INTO_KEY, keys, UNLESS_THERE) < len(keys):
        return False
    if not all(take_from_cart(conn, new) for new in news if new.cart_version is not None):
        return False
    store_rows(conn, news)
    limited = {new.user: new.unpaid_limit for new in news if new.unpaid_limit}
    return all(count_unpaid(conn, user) <= limit for user, limit in limited.items())


def store_rows(conn: sqlite3.Connection, news: Sequence[Placing]) -> None:
    """The rows that nothing hinders any more."""
    insert(conn, INTO_ORDER, [new.order for new in news])
    insert(conn, INTO_ITEM, [row for new in news for row in new.items])
    insert(conn, INTO_EVENT, [row for new in news for row in new.events])
    insert(conn, INTO_OUTBOX, [row for new in news for row in new.outbox])


def insert(conn: sqlite3.Connection, into: str, values: Sequence[Row], otherwise: str = "") -> int:
    """Insert rows by as few statements as powers of two allow; how many came in."""
    done, at, size = 0, 0, MOST_ROWS
    while at < len(values):
        while size > len(values) - at:
            size //= 2
        statement = insertion(into, len(values[at]), size, otherwise)
        done += conn.execute(statement, list(chain.from_iterable(values[at : at + size]))).rowcount
        at += size
    return done


@lru_cache(maxsize=128)
def insertion(into: str, columns: int, size: int, otherwise: str) -> str:
    """The statement for so many rows."""
    return f"{into} {', '.join([f'({rows.marks(columns)})'] * size)}{otherwise}"


def claim(conn: sqlite3.Connection, new: Placing) -> bool:
    """Take the number; False if this very order has it. Raises NumberTaken, PlacingGivenUp."""
    if conn.execute(INSERT_CLAIM, new.claim).rowcount:
        return True
    (owner,) = conn.execute(
        "SELECT order_id FROM order_sn_claim WHERE order_sn = ?", (new.order_sn,)
    ).fetchone()
    if owner == TOMBSTONE:
        raise PlacingGivenUp
    if owner != new.order_id:
        raise NumberTaken
    return False


def key_row(key: Key, order_sn: str, payment_sn: str) -> Row:
    """Values of KEY_COLUMNS."""
    return (key.scope, key.key, key.command_hash, order_sn, payment_sn, key.created_ms)


def take_key(conn: sqlite3.Connection, key: Key, order_sn: str, payment_sn: str) -> None:
    """Store what the key led to. Raises KeyTaken."""
    over_ms = key.created_ms - KEEP_KEYS_MS
    if conn.execute(INSERT_KEY, (*key_row(key, order_sn, payment_sn), over_ms)).rowcount:
        return
    record = find_key(conn, key.scope, key.key, over_ms)
    assert record is not None
    raise KeyTaken(record)


def find_key(conn: sqlite3.Connection, scope: str, key: str, over_ms: int) -> KeyRecord | None:
    """What the key led to, if it is younger than `over_ms`."""
    sql = (
        "SELECT command_hash, order_sn, payment_sn FROM idempotency_key"
        ' WHERE scope = ? AND "key" = ? AND created_ms > ?'
    )
    row = conn.execute(sql, (scope, key, over_ms)).fetchone()
    return KeyRecord(bytes(row[0]), row[1], row[2]) if row else None


def take_from_cart(conn: sqlite3.Connection, new: Placing) -> bool:
    """Delete the bought lines of a cart; False if somebody touched it meanwhile."""
    sql = "UPDATE cart_version SET version = version + 1 WHERE user = ? AND version = ?"
    if not conn.execute(sql, (new.user, new.cart_version)).rowcount:
        return False
    sql = f"DELETE FROM shopping_cart WHERE user = ? AND goods IN ({rows.marks(len(new.goods))})"
    conn.execute(sql, (new.user, *new.goods))
    return True


def count_unpaid(conn: sqlite3.Connection, user: int) -> int:
    """How many of the user's orders wait for payment."""
    sql = "SELECT count(*) FROM order_info WHERE user = ? AND status = ?"
    return int(conn.execute(sql, (user, int(OrderStatus.PENDING))).fetchone()[0])
