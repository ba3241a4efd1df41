"""The WHERE of a list of orders, for every SQL engine."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.ports import Cursor, OrderFilter
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import Row


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


def is_whole(found: Sequence[Row], offset: int, limit: int, after: Cursor | None) -> bool:
    """Whether the rows of a page tell how many there are in all, as those of the last one do."""
    return after is None and len(found) <= limit and (bool(found) or not offset)
