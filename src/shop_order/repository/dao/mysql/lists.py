"""Lists of orders: by page for people, by cursor for depth."""

from __future__ import annotations

from shop_order.domain.ports import Cursor, OrderFilter, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.filtering import conditions
from shop_order.repository.dao.mysql.loading import orders_of
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rows import ORDER_COLUMNS


async def list_orders(
    session: Session, where: OrderFilter, offset: int, limit: int, after: Cursor | None, cap: int
) -> OrderPage:
    """One page, newest first, with items; the total stops at `cap`. What is archived is found by number."""
    page = await _list(session, where, offset, limit, after, cap, LIVE)
    if where.order_sn is not None and not page.total:
        page = await _list(session, where, offset, limit, after, cap, HISTORY)
    return page


async def _list(
    session: Session,
    where: OrderFilter,
    offset: int,
    limit: int,
    after: Cursor | None,
    cap: int,
    tables: Tables,
) -> OrderPage:
    condition, values = conditions(where)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {tables.orders} WHERE {condition} LIMIT ?) AS counted"
    (total,) = await session.first(sql, (*values, cap)) or (0,)
    if after:
        # Written out: a comparison of pairs is no range to MySQL's optimizer.
        at = rows.time_text(after.created_ms)
        condition += " AND created_at <= ? AND (created_at < ? OR id < ?)"
        values += [at, at, after.id]
    sql = (
        f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {condition}"
        " ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"
    )
    found = await session.all(sql, (*values, limit + 1, offset))
    orders = await orders_of(session, found[:limit], hashes=False, tables=tables)
    more = len(found) > limit
    return OrderPage(orders, total, Cursor(orders[-1].created_ms, orders[-1].id) if more else None)
