"""Lists of orders: by page number, or by cursor for any depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import COUNT_CAP, Cursor, OrderFilter, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session
from shop_order.repository.dao.loading import orders_of
from shop_order.repository.dao.rows import HISTORY, LIVE, ORDER, Tables

NEWEST_FIRST = "created_at DESC, id DESC"


async def list_orders(
    session: Session,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    max_items: int | None = None,
) -> OrderPage:
    """Return one page, newest first, with at most `max_items` items of each order.

    Archived orders are found by number only.
    """
    page = await _list(session, where, offset, limit, after, max_items, LIVE)
    if where.order_sn is not None and not page.total:
        page = await _list(session, where, offset, limit, after, max_items, HISTORY)
    return page


async def _list(
    session: Session,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    max_items: int | None,
    tables: Tables,
) -> OrderPage:
    condition, values = conditions(where)
    counted, order = [*values], NEWEST_FIRST
    if session.dialect.status_needs_range and where.status is not None and where.user is None:
        # For a frequent status MariaDB chooses `ref` access, which reads everything newer than the cursor.
        # With a second status, which no order has, it reads a range from the cursor on.
        condition = condition.replace("status = ?", "status IN (?, -1)")
        order = f"status DESC, {NEWEST_FIRST}"
    count = f"SELECT count(*) FROM (SELECT 1 FROM {tables.orders} WHERE {condition} LIMIT ?) AS counted"
    if after:
        at = rows.time_text(after.created_ms)
        after_cursor, more_values = session.dialect.past_cursor("created_at", "<", at, after.id)
        condition, values = f"{condition} AND {after_cursor}", [*values, *more_values]
    sql = f"SELECT {ORDER.select} FROM {tables.orders} WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"
    found = await session.all(sql, (*values, limit + 1, offset))
    more, shown = len(found) > limit, found[:limit]
    if after is None and not more and (found or not offset):
        total = offset + len(found)  # this page is the last one
    else:
        (total,) = await session.first(count, (*counted, COUNT_CAP)) or (0,)
    totals: dict[int, int] = {}
    orders = await orders_of(session, shown, hashes=False, tables=tables, max_items=max_items, totals=totals)
    return page_of(shown, orders, total, more=more, items_total=totals)


def conditions(where: OrderFilter) -> tuple[str, list[object]]:
    """Return the WHERE condition of a filter, and its values."""
    parts: list[tuple[str, object]] = []
    if where.user is not None:
        parts.append(("user = ?", where.user))
    if where.status is not None:
        parts.append(("status = ?", int(where.status)))
    if where.order_sn is not None:
        parts.append(("order_sn = ?", where.order_sn))
    if where.start_ms is not None:
        parts.append(("created_at >= ?", rows.time_text(where.start_ms)))
    if where.end_ms is not None:
        parts.append(("created_at < ?", rows.time_text(where.end_ms)))
    return " AND ".join(text for text, _ in parts) or "1 = 1", [value for _, value in parts]


def page_of(
    found: Sequence[Row],
    orders: Sequence[Order | UnreadableRow],
    total: int,
    *,
    more: bool,
    items_total: Mapping[int, int] | None = None,
) -> OrderPage:
    """Return the page of these rows; unreadable orders are listed apart, and the cursor skips them."""
    return OrderPage(
        [order for order in orders if isinstance(order, Order)],
        total,
        cursor_of(found) if more else None,
        [order for order in orders if isinstance(order, UnreadableRow)],
        items_total or {},
    )


def cursor_of(found: Sequence[Row]) -> Cursor | None:
    """Return the cursor after the last of these rows whose time can be read."""
    for row in reversed(found):
        with suppress(ValueError, TypeError):
            return Cursor(rows.time_ms(rows.created_of(row)), rows.id_of(row))
    return None
