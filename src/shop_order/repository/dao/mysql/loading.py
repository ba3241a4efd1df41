"""Whole orders, many at once: a handful of statements whatever their number."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound, Unreadable
from shop_order.domain.ports import Standing
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.filtering import by_order, first_items
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rows import (
    ITEM_COLUMNS,
    ORDER_COLUMNS,
    PAYMENT_COLUMNS,
    REFUND_COLUMNS,
    STANDING_COLUMNS,
    Row,
)


async def load(session: Session, column: str, value: object) -> Order:
    """The whole aggregate, wherever it lies. Raises OrderNotFound, Unreadable."""
    for tables in (LIVE, HISTORY, LIVE):  # between two looks it may have come back
        found = await session.all(f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {column} = ?", (value,))
        if found:
            (order,) = rows.all_of(await orders_of(session, found, hashes=True, tables=tables))
            return order
    raise OrderNotFound


async def standings(session: Session, order_sns: Sequence[str]) -> dict[str, Standing | Unreadable]:
    """Where these orders stand, wherever they lie; those that do not exist are left out."""
    found: dict[str, Standing | Unreadable] = {}
    for tables in (LIVE, HISTORY, LIVE):  # as in `load`
        if missing := [sn for sn in order_sns if sn not in found]:
            sql = f"SELECT {STANDING_COLUMNS} FROM {tables.orders} WHERE order_sn IN"
            stored = await session.all(f"{sql} ({rows.marks(len(missing))})", missing)
            found |= {row[0]: rows.standing_or_why(row) for row in stored}
    return found


async def orders_of(
    session: Session,
    found: Sequence[Row],
    *,
    hashes: bool,
    tables: Tables = LIVE,
    most_items: int | None = None,
    totals: dict[int, int] | None = None,
) -> list[Order | Unreadable]:
    """The aggregates of ORDER_COLUMNS, or why one can't be read; without `hashes` they are for reading only.

    Items come last, and each order has some: who reads without a snapshot knows by them that an order was
    moved meanwhile. With `most_items` only the first ones are read, and `totals` learns how many there are.
    """
    # The first event is the order itself: no attempt yet.
    later = [row[2] for row in found if row[30] > 1]
    select = f"SELECT {PAYMENT_COLUMNS} FROM {tables.payments} WHERE order_sn"
    payments = await by_parent(session, select, later, "created_ms", 1)
    select = f"SELECT {REFUND_COLUMNS} FROM {tables.refunds} WHERE order_sn"
    refunds = await by_parent(session, select, later, "created_ms", 2)
    items = await _items(session, [row[0] for row in found], tables, most_items, totals)
    last = await _last_hashes(session, found) if hashes else {}
    return [
        rows.order_or_why(
            row,
            items.get(row[0], []),
            payments.get(row[2], []),
            refunds.get(row[2], []),
            last.get(row[2], b""),
        )
        for row in found
    ]


async def _items(
    session: Session,
    orders: Sequence[int],
    tables: Tables,
    most: int | None,
    totals: dict[int, int] | None,
) -> dict[object, list[Row]]:
    if most is None or totals is None:
        select = f'SELECT {ITEM_COLUMNS} FROM {tables.items} WHERE "order"'
        return await by_parent(session, select, orders, "id", 0)
    found = await session.all(first_items(tables.items, len(orders), most), orders) if orders else []
    items, counted = by_order(found)
    totals |= counted
    return items


async def _last_hashes(session: Session, found: Sequence[Row]) -> dict[str, bytes]:
    if not found:
        return {}
    either = " OR ".join(["(order_sn = ? AND version = ?)"] * len(found))
    values = [value for row in found for value in (row[2], row[30])]
    sql = f"SELECT order_sn, hash FROM order_event WHERE {either}"
    return {sn: rows.stored_bytes(digest) for sn, digest in await session.all(sql, values)}


async def by_parent(
    session: Session, select: str, parents: Sequence[object], order_by: str, parent_at: int
) -> dict[object, list[Row]]:
    """Child rows of many parents in one statement, grouped by the parent's column."""
    grouped: dict[object, list[Row]] = {}
    if not parents:
        return grouped
    sql = f"{select} IN ({rows.marks(len(parents))}) ORDER BY {order_by}"
    for row in await session.all(sql, parents):
        grouped.setdefault(row[parent_at], []).append(row)
    return grouped
