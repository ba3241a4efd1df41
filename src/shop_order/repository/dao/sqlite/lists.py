"""Lists of orders: by page for people, by cursor for depth."""

from __future__ import annotations

import sqlite3

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import Unreadable
from shop_order.domain.ports import Cursor, OrderFilter, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.filtering import by_order, conditions, first_items, is_whole, page_of
from shop_order.repository.dao.rows import ITEM_COLUMNS, ORDER_COLUMNS, PAYMENT_COLUMNS, REFUND_COLUMNS, Row


def list_orders(
    conn: sqlite3.Connection,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    cap: int,
    most_items: int | None = None,
) -> OrderPage:
    """One page, newest first, with all or the first `most_items` of each; the total stops at `cap`.

    What is archived is found by number.
    """
    page = _list(conn, where, offset, limit, after, cap, LIVE, most_items)
    if where.order_sn is not None and not page.total:
        page = _list(conn, where, offset, limit, after, cap, HISTORY, most_items)
    return page


def _list(
    conn: sqlite3.Connection,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    cap: int,
    tables: Tables,
    most_items: int | None,
) -> OrderPage:
    condition, values = conditions(where)
    counted = [*values]
    count = f"SELECT count(*) FROM (SELECT 1 FROM {tables.orders} WHERE {condition} LIMIT ?)"
    if after:
        condition += " AND (created_at, id) < (?, ?)"
        values += [rows.time_text(after.created_ms), after.id]
    sql = (
        f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {condition}"
        " ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"
    )
    found = conn.execute(sql, (*values, limit + 1, offset)).fetchall()
    more = len(found) > limit
    if is_whole(found, offset, limit, after):
        total = offset + len(found)
    else:
        (total,) = conn.execute(count, (*counted, cap)).fetchone()
    orders, totals = _orders(conn, found[:limit], tables, most_items)
    return page_of(found[:limit], orders, total, more=more, items_total=totals)


def orders_of(conn: sqlite3.Connection, found: list[Row], tables: Tables) -> list[Order | Unreadable]:
    """The aggregates of ORDER_COLUMNS, for reading only, or why one can't be read."""
    return _orders(conn, found, tables, None)[0]


def _orders(
    conn: sqlite3.Connection, found: list[Row], tables: Tables, most_items: int | None
) -> tuple[list[Order | Unreadable], dict[int, int]]:
    ids, totals = [r[0] for r in found], dict[int, int]()
    if most_items is None:
        select = f'SELECT {ITEM_COLUMNS} FROM {tables.items} WHERE "order"'
        items = by_parent(conn, select, ids, "id", 0)
    else:
        sql = first_items(tables.items, len(ids), most_items)
        items, totals = by_order(conn.execute(sql, ids).fetchall() if ids else [])
    numbers = [r[2] for r in found]
    select = f"SELECT {PAYMENT_COLUMNS} FROM {tables.payments} WHERE order_sn"
    payments = by_parent(conn, select, numbers, "created_ms", 1)
    select = f"SELECT {REFUND_COLUMNS} FROM {tables.refunds} WHERE order_sn"
    refunds = by_parent(conn, select, numbers, "created_ms", 2)
    return [
        rows.order_or_why(r, items.get(r[0], []), payments.get(r[2], []), refunds.get(r[2], []), b"")
        for r in found
    ], totals


def by_parent(
    conn: sqlite3.Connection, select: str, parents: list[object], order_by: str, parent_at: int
) -> dict[object, list[Row]]:
    """Child rows of many parents in one statement, grouped by the parent's column."""
    grouped: dict[object, list[Row]] = {}
    if not parents:
        return grouped
    for row in conn.execute(f"{select} IN ({rows.marks(len(parents))}) ORDER BY {order_by}", parents):
        grouped.setdefault(row[parent_at], []).append(row)
    return grouped
