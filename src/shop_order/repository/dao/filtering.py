"""The WHERE of a list of orders, and its pages, for every SQL engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import Unreadable
from shop_order.domain.ports import Cursor, OrderFilter, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import ITEM_COLUMNS, Row


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


def first_items(table: str, orders: int, most: int) -> str:
    """The SELECT of ITEM_COLUMNS of so many orders, the first `most` of each, and how many it has."""
    return (
        f"SELECT {ITEM_COLUMNS}, of_all FROM (SELECT {ITEM_COLUMNS},"
        ' ROW_NUMBER() OVER (PARTITION BY "order" ORDER BY id) AS at_place,'
        ' COUNT(*) OVER (PARTITION BY "order") AS of_all'
        f' FROM {table} WHERE "order" IN ({rows.marks(orders)})) AS placed'
        f" WHERE at_place <= {most:d} ORDER BY id"
    )


def by_order(found: Sequence[Row]) -> tuple[dict[object, list[Row]], dict[int, int]]:
    """Rows of `first_items` by their order, and how many it has."""
    items: dict[object, list[Row]] = {}
    totals: dict[int, int] = {}
    for row in found:
        items.setdefault(row[0], []).append(row[:-1])
        totals[row[0]] = row[-1]
    return items, totals


def is_whole(found: Sequence[Row], offset: int, limit: int, after: Cursor | None) -> bool:
    """Whether the rows of a page tell how many there are in all, as those of the last one do."""
    return after is None and len(found) <= limit and (bool(found) or not offset)


def page_of(
    found: Sequence[Row],
    orders: Sequence[Order | Unreadable],
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
        [order for order in orders if isinstance(order, Unreadable)],
        items_total or {},
    )


def cursor_of(found: Sequence[Row]) -> Cursor | None:
    """After the last of these rows of ORDER_COLUMNS whose time can be read."""
    for row in reversed(found):
        with suppress(ValueError, TypeError):
            return Cursor(rows.time_ms(row[12]), row[0])
    return None
