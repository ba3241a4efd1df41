"""Loading whole orders, many at once in a handful of statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound, UnreadableRow
from shop_order.domain.ports import OrderStanding
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session, marks
from shop_order.repository.dao.rows import (
    HISTORY,
    ITEM_COLUMNS,
    LIVE,
    ORDER,
    PAYMENT,
    REFUND,
    REFUND_WITHOUT_LINES,
    STANDING_COLUMNS,
    Tables,
    id_of,
    order_sn_of,
    version_of,
)

OrderKey = tuple[str, object]  # a column and its value
Children = dict[object, list[Row]]  # rows by their order
_order_of_item = itemgetter(0)
_order_sn_of_payment = PAYMENT.of("order_sn")
_order_sn_of_refund = REFUND.of("order_sn")


async def load(session: Session, wanted: OrderKey) -> Order:
    """Load a live or archived order. Raises OrderNotFound, UnreadableRow."""
    (order,) = await load_many(session, [wanted])
    if isinstance(order, Exception):
        raise order
    return order


async def load_many(session: Session, wanted: Sequence[OrderKey]) -> Sequence[Order | Exception]:
    """Load many orders; each caller gets its own copy, since it may change it."""
    orders: list[Order | Exception | None] = [None] * len(wanted)
    for tables in (LIVE, HISTORY, LIVE):  # it may be restored between two reads
        found = await rows_of(session, tables, [one for at, one in enumerate(wanted) if orders[at] is None])
        there = [at for at, one in enumerate(wanted) if orders[at] is None and one in found]
        loaded = await orders_of(session, [found[wanted[at]] for at in there], hashes=True, tables=tables)
        for at, order in zip(there, loaded, strict=True):
            orders[at] = order
        if None not in orders:
            break
    return [order or OrderNotFound() for order in orders]


async def rows_of(session: Session, tables: Tables, wanted: Sequence[OrderKey]) -> dict[OrderKey, Row]:
    """Return the rows of the orders in these tables."""
    found: dict[OrderKey, Row] = {}
    for column, value_of in (("order_sn", order_sn_of), ("id", id_of)):
        if values := [value for name, value in wanted if name == column]:
            sql = f"SELECT {ORDER.select} FROM {tables.orders} WHERE {column} IN ({marks(len(values))})"
            for row in await session.all(sql, values):
                found[column, value_of(row)] = row
    return found


async def find_standings(
    session: Session, order_sns: Sequence[str]
) -> dict[str, OrderStanding | UnreadableRow]:
    """Return the standing of live and archived orders, without those that do not exist."""
    found: dict[str, OrderStanding | UnreadableRow] = {}
    for tables in (LIVE, HISTORY, LIVE):  # as in `load`
        if missing := [sn for sn in order_sns if sn not in found]:
            sql = f"SELECT {STANDING_COLUMNS} FROM {tables.orders} WHERE order_sn IN"
            stored = await session.all(f"{sql} ({marks(len(missing))})", missing)
            found |= {row[0]: rows.or_error(rows.standing_of, row) for row in stored}
    return found


async def orders_of(
    session: Session,
    found: Sequence[Row],
    *,
    hashes: bool,
    tables: Tables = LIVE,
    max_items: int | None = None,
    totals: dict[int, int] | None = None,
) -> list[Order | UnreadableRow]:
    """Return the order of each row of ORDER, or why it is unreadable; without `hashes` it can't be changed.

    Items are read last: an order without any was moved while it was read without a snapshot. For lists: with
    `max_items` only the first ones are read, `totals` gets the number of items by order id, and refunds, of
    which a buyer can have thousands with 100 lines each, are read without their lines.
    """
    if not found:
        return []
    # An order at version 1 has no payments yet.
    later = [order_sn_of(row) for row in found if version_of(row) != 1]
    payments: Children = {}
    refunds: Children = {}
    if later:
        select = f"SELECT {PAYMENT.select} FROM {tables.payments} WHERE order_sn"
        payments = await by_parent(session, select, later, "created_ms", _order_sn_of_payment)
        columns = REFUND.select if totals is None else REFUND_WITHOUT_LINES
        select = f"SELECT {columns} FROM {tables.refunds} WHERE order_sn"
        refunds = await by_parent(session, select, later, "created_ms", _order_sn_of_refund)
    items = await _items(session, [id_of(row) for row in found], tables, max_items, totals)
    last = await _last_hashes(session, found) if hashes else {}
    return [
        rows.or_error(
            rows.order_of,
            row,
            items.get(id_of(row), ()),
            payments.get(sn := order_sn_of(row), ()),
            refunds.get(sn, ()),
            last.get(sn, b""),
        )
        for row in found
    ]


async def _items(
    session: Session,
    orders: Sequence[int],
    tables: Tables,
    max_items: int | None,
    totals: dict[int, int] | None,
) -> Children:
    if max_items is None or totals is None:
        select = f'SELECT {ITEM_COLUMNS} FROM {tables.items} WHERE "order"'
        return await by_parent(session, select, orders, "id", _order_of_item)
    sql = (
        f"SELECT {ITEM_COLUMNS}, items_total FROM (SELECT {ITEM_COLUMNS},"
        ' ROW_NUMBER() OVER (PARTITION BY "order" ORDER BY id) AS item_no,'
        ' COUNT(*) OVER (PARTITION BY "order") AS items_total'
        f' FROM {tables.items} WHERE "order" IN ({marks(len(orders))})) AS numbered'
        f" WHERE item_no <= {max_items:d} ORDER BY id"
    )
    items: Children = {}
    for *item, items_total in await session.all(sql, orders):
        items.setdefault(item[0], []).append(item)
        totals[item[0]] = items_total
    return items


async def _last_hashes(session: Session, found: Sequence[Row]) -> dict[str, bytes]:
    either = " OR ".join(["(order_sn = ? AND version = ?)"] * len(found))
    values = [value for row in found for value in (order_sn_of(row), version_of(row))]
    sql = f"SELECT order_sn, hash FROM order_event WHERE {either}"
    return {sn: rows.stored_bytes(digest) for sn, digest in await session.all(sql, values)}


async def by_parent(
    session: Session, select: str, parents: Sequence[object], order_by: str, parent_of: Callable[[Row], Any]
) -> Children:
    """Return the child rows of many parents, grouped by parent."""
    grouped: Children = {}
    sql = f"{select} IN ({marks(len(parents))}) ORDER BY {order_by}"
    for row in await session.all(sql, parents):
        grouped.setdefault(parent_of(row), []).append(row)
    return grouped
