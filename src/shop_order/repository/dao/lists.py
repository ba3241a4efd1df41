"""Lists of orders: by page for people, by cursor for depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import COUNT_CAP, Cursor, OrderFilter, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session
from shop_order.repository.dao.loading import orders_of
from shop_order.repository.dao.rows import HISTORY, LIVE, ORDER_COLUMNS, Tables

NEWEST_FIRST = "created_at DESC, id DESC"


async def list_orders(
    session: Session,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    cap: int = COUNT_CAP,
    most_items: int | None = None,
) -> OrderPage:
    """One page, newest first, with all or the first `most_items` of each; the total stops at `cap`.

    What is archived is found by number.
    """
    page = await _list(session, where, offset, limit, after, cap, LIVE, most_items)
    if where.order_sn is not None and not page.total:
        page = await _list(session, where, offset, limit, after, cap, HISTORY, most_items)
    return page


async def _list(
    session: Session,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    cap: int,
    tables: Tables,
    most_items: int | None,
) -> OrderPage:
    condition, values = conditions(where)
    counted, order = [*values], NEWEST_FIRST
    if session.dialect.range_of_status and where.status is not None and where.user is None:
        # A status that half of the orders have is a `ref` to MariaDB: on its way to a cursor it would read
        # all that is newer. Of two, the second of which nobody has, it reads a range from the cursor on.
        condition = condition.replace("status = ?", "status IN (?, -1)")
        order = f"status DESC, {NEWEST_FIRST}"
    count = f"SELECT count(*) FROM (SELECT 1 FROM {tables.orders} WHERE {condition} LIMIT ?) AS counted"
    if after:
        at = rows.time_text(after.created_ms)
        beyond, more_values = session.dialect.beyond("created_at", "<", at, after.id)
        condition, values = f"{condition} AND {beyond}", [*values, *more_values]
    sql = f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"
    found = await session.all(sql, (*values, limit + 1, offset))
    more, shown = len(found) > limit, found[:limit]
    if after is None and not more and (found or not offset):
        total = offset + len(found)  # this page is the last one
    else:
        (total,) = await session.first(count, (*counted, cap)) or (0,)
    totals: dict[int, int] = {}
    orders = await orders_of(
        session, shown, hashes=False, tables=tables, most_items=most_items, totals=totals
    )
    return page_of(shown, orders, total, more=more, items_total=totals)


def conditions(where: OrderFilter) -> tuple[str, list[object]]:
    """The WHERE of a filter, values always bound."""
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
    """The page of these rows; what can't be read is left out, and the cursor leads past it."""
    return OrderPage(
        [order for order in orders if isinstance(order, Order)],
        total,
        cursor_of(found) if more else None,
        [order for order in orders if isinstance(order, UnreadableRow)],
        items_total or {},
    )


def cursor_of(found: Sequence[Row]) -> Cursor | None:
    """After the last of these rows of ORDER_COLUMNS whose time can be read."""
    for row in reversed(found):
        with suppress(ValueError, TypeError):
            return Cursor(rows.time_ms(rows.created_of(row)), rows.id_of(row))
    return None
