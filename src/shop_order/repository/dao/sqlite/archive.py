"""Moving settled orders to the history tables, and back when something happens to one after all."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from shop_order.domain.ports import Cursor, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables, moves, still_asked
from shop_order.repository.dao.filtering import page_of
from shop_order.repository.dao.rows import ORDER_COLUMNS, Row
from shop_order.repository.dao.sqlite.database import Database
from shop_order.repository.dao.sqlite.lists import orders_of


class SqliteArchive:
    """See `domain.ports.Archive`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def oldest(self, before_ms: int, after: Cursor | None, limit: int) -> OrderPage:
        condition = "created_at < ?"
        values: list[object] = [rows.time_text(before_ms)]
        if after:
            condition += " AND (created_at, id) > (?, ?)"
            values += [rows.time_text(after.created_ms), after.id]
        sql = f"SELECT {ORDER_COLUMNS} FROM order_info WHERE {condition} ORDER BY created_at, id LIMIT ?"

        def job(conn: sqlite3.Connection) -> OrderPage:
            found = conn.execute(sql, (*values, limit)).fetchall()
            return page_of(found, orders_of(conn, found, LIVE), len(found), more=len(found) == limit)

        return await self._db.scanner.submit(job)

    async def move(self, versions: Mapping[str, int]) -> int:
        def job(conn: sqlite3.Connection) -> int:
            same = at_version(conn, LIVE, versions)
            asked = conn.execute(still_asked(len(same)), [sn for _, sn in same]) if same else ()
            still = {sn for (sn,) in asked}
            done = [row for row in same if row[1] not in still]
            carry(conn, LIVE, HISTORY, done)
            return len(done)

        return await self._db.writer.submit(job)


def bring_back(conn: sqlite3.Connection, order_sn: str, version: int) -> bool:
    """Make an archived order an order of today, if it lies there at this version."""
    same = at_version(conn, HISTORY, {order_sn: version})
    carry(conn, HISTORY, LIVE, same)
    return bool(same)


def at_version(conn: sqlite3.Connection, tables: Tables, versions: Mapping[str, int]) -> list[Row]:
    """Id and number of the orders that are at these versions."""
    sql = f"SELECT id, order_sn, version FROM {tables.orders} WHERE order_sn IN ({rows.marks(len(versions))})"
    return [row[:2] for row in conn.execute(sql, tuple(versions)) if row[2] == versions[row[1]]]


def carry(conn: sqlite3.Connection, source: Tables, target: Tables, orders: Sequence[Row]) -> None:
    """Move orders with all that belongs to them."""
    ids, numbers = [row[0] for row in orders], [row[1] for row in orders]
    for sql, by_id in moves(source, target, len(orders)) if orders else ():
        conn.execute(sql, ids if by_id else numbers)
