"""Lists of orders: by page for people, by cursor for depth."""

from __future__ import annotations

from shop_order.domain.ports import Cursor, OrderFilter, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.filtering import conditions, is_whole, page_of
from shop_order.repository.dao.mysql.loading import orders_of
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rows import ORDER_COLUMNS

NEWEST_FIRST = "created_at DESC, id DESC"


async def list_orders(
    session: Session,
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
    if where.status is not None and where.user is None:
        # A status that half of the orders have is a `ref` to MariaDB: on its way to a cursor it would read
        # all that is newer. Of two, the second of which nobody has, it reads a range from the cursor on.
        condition = condition.replace("status = ?", "status IN (?, -1)")
        order = f"status DESC, {NEWEST_FIRST}"
    count = f"SELECT count(*) FROM (SELECT 1 FROM {tables.orders} WHERE {condition} LIMIT ?) AS counted"
    if after:
        # Written out: a comparison of pairs is no range to MySQL's optimizer.
        at = rows.time_text(after.created_ms)
        condition += " AND created_at <= ? AND (created_at < ? OR id < ?)"
        values += [at, at, after.id]
    sql = f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"
    found = await session.all(sql, (*values, limit + 1, offset))
    more = len(found) > limit
    if is_whole(found, offset, limit, after):
        total = offset + len(found)
    else:
        (total,) = await session.first(count, (*counted, cap)) or (0,)
    totals: dict[int, int] = {}
    orders = await orders_of(
        session, found[:limit], hashes=False, tables=tables, most_items=most_items, totals=totals
    )
    return page_of(found[:limit], orders, total, more=more, items_total=totals)
