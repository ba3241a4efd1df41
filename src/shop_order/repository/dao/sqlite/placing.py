"""New orders in SQLite: those of one batch are stored together, by a handful of statements.

Every statement hands Python's lock over and takes it back, which costs more than the insert itself: so a
batch inserts many rows at once. If one of its orders meets a conflict, the halves are tried, and a few are
stored alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain

from shop_order.domain.errors import CartChanged, PlacingGivenUp, TooManyUnpaid
from shop_order.domain.ports import Key, KeyRecord, KeyTaken, NumberTaken
from shop_order.domain.status import OrderStatus
from shop_order.repository.dao import rows
from shop_order.repository.dao.placing import (
    INTO_CLAIM,
    INTO_EVENT,
    INTO_ITEM,
    INTO_KEY,
    INTO_ORDER,
    INTO_OUTBOX,
    KEEP_KEYS_MS,
    KEY_COLUMNS,
    TOMBSTONE,
    Placing,
    insertion,
    key_row,
)
from shop_order.repository.dao.rows import Row

MOST_ROWS = 32  # of one statement: stays below the 999 variables an old SQLite allows

WantedKey = tuple[str, str, int]  # scope, key, and the time up to which it is over

UNLESS_THERE = " ON CONFLICT DO NOTHING"
INSERT_CLAIM = f"{INTO_CLAIM} (?, ?, ?){UNLESS_THERE}"
# A key whose time is over gives way, also before the purge has come by.
INSERT_KEY = (
    f"{INTO_KEY} (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET command_hash = excluded.command_hash,"
    " order_sn = excluded.order_sn, payment_sn = excluded.payment_sn, created_ms = excluded.created_ms"
    " WHERE idempotency_key.created_ms <= ?"
)


def store_one(conn: sqlite3.Connection, new: Placing) -> None:
    """Raises NumberTaken, PlacingGivenUp, KeyTaken, TooManyUnpaid, CartChanged."""
    if not claim(conn, new):
        return  # our own row: the answer to an earlier commit was lost
    if not new.in_time():
        raise PlacingGivenUp
    if new.key:
        take_key(conn, new.key, new.order_sn, "")
    if new.unpaid_limit and count_unpaid(conn, new.user) >= new.unpaid_limit:
        raise TooManyUnpaid(new.unpaid_limit)
    if new.cart_version is not None and not take_from_cart(conn, new):
        raise CartChanged
    store_rows(conn, [new])


def store_many(conn: sqlite3.Connection, news: Sequence[Placing]) -> bool:
    """The same for a batch; False, with rows left to be undone, if one of them meets a conflict."""
    if not all(new.in_time() for new in news):
        return False
    if insert(conn, INTO_CLAIM, [new.claim for new in news], UNLESS_THERE) < len(news):
        return False
    keys = [key_row(new.key, new.order_sn, "") for new in news if new.key]
    if insert(conn, INTO_KEY, keys, UNLESS_THERE) < len(keys):
        return False
    if not all(take_from_cart(conn, new) for new in news if new.cart_version is not None):
        return False
    store_rows(conn, news)
    return within_limits(conn, news)


def within_limits(conn: sqlite3.Connection, news: Sequence[Placing]) -> bool:
    """Whether nobody has more unpaid orders than the limit, those of this batch counted."""
    limits = {new.user: new.unpaid_limit for new in news if new.unpaid_limit}
    if not limits:
        return True
    sql = (
        f"SELECT user, count(*) FROM order_info WHERE user IN ({rows.marks(len(limits))}) AND status = ?"
        " GROUP BY user"
    )
    counted = conn.execute(sql, (*limits, int(OrderStatus.PENDING))).fetchall()
    return all(count <= limits[user] for user, count in counted)


def store_rows(conn: sqlite3.Connection, news: Sequence[Placing]) -> None:
    """The rows that nothing hinders any more."""
    insert(conn, INTO_ORDER, [new.order for new in news])
    insert(conn, INTO_ITEM, [row for new in news for row in new.items])
    insert(conn, INTO_EVENT, [row for new in news for row in new.events])
    insert(conn, INTO_OUTBOX, [row for new in news for row in new.outbox])


def insert(conn: sqlite3.Connection, into: str, values: Sequence[Row], otherwise: str = "") -> int:
    """Insert rows by as few statements as MOST_ROWS allows; how many came in."""
    done = 0
    for at in range(0, len(values), MOST_ROWS):
        part = values[at : at + MOST_ROWS]
        statement = insertion(into, len(part[0]), len(part), otherwise)
        done += conn.execute(statement, list(chain.from_iterable(part))).rowcount
    return done


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


def take_key(conn: sqlite3.Connection, key: Key, order_sn: str, payment_sn: str) -> None:
    """Store what the key led to. Raises KeyTaken."""
    over_ms = key.created_ms - KEEP_KEYS_MS
    if conn.execute(INSERT_KEY, (*key_row(key, order_sn, payment_sn), over_ms)).rowcount:
        return
    (record,) = find_keys(conn, [(key.scope, key.key, over_ms)])
    assert record is not None
    raise KeyTaken(record)


def find_keys(conn: sqlite3.Connection, wanted: Sequence[WantedKey]) -> Sequence[KeyRecord | None]:
    """What each key led to, if it is young enough."""
    values = ", ".join(["(?, ?)"] * len(wanted))
    # A cross join: SQLite would scan the table for a pair of columns IN a list.
    sql = (
        f"SELECT {KEY_COLUMNS} FROM (VALUES {values}) AS wanted CROSS JOIN idempotency_key"
        ' ON scope = wanted.column1 AND "key" = wanted.column2'
    )
    keys = [part for scope, key, _ in wanted for part in (scope, key)]
    there = {(row[0], row[1]): row for row in conn.execute(sql, keys).fetchall()}
    found: list[KeyRecord | None] = []
    for scope, key, over_ms in wanted:
        row = there.get((scope, key))
        found.append(KeyRecord(bytes(row[2]), row[3], row[4]) if row and row[5] > over_ms else None)
    return found


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
