"""Moving settled orders to the history tables, and back when something happens to one after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shop_order.domain.ports import Cursor, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables, moves, still_asked
from shop_order.repository.dao.filtering import page_of
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.loading import orders_of
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rows import ORDER_COLUMNS, Row


class MysqlArchive:
    """See `domain.ports.Archive`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def oldest(self, before_ms: int, after: Cursor | None, limit: int) -> OrderPage:
        condition = "created_at < ?"
        values: list[object] = [rows.time_text(before_ms)]
        if after:
            at = rows.time_text(after.created_ms)
            condition += " AND created_at >= ? AND (created_at > ? OR id > ?)"
            values += [at, at, after.id]
        sql = f"SELECT {ORDER_COLUMNS} FROM order_info WHERE {condition} ORDER BY created_at, id LIMIT ?"

        async def job(session: Session) -> OrderPage:
            found = await session.all(sql, (*values, limit))
            orders = await orders_of(session, found, hashes=False)
            return page_of(found, orders, len(found), more=len(found) == limit)

        return await self._db.scanner.submit(job)

    async def move(self, versions: Mapping[str, int]) -> int:
        async def job(session: Session) -> int:
            # Locked: whoever changes one of them has written before, or finds it in the history tables.
            same = await locked(session, LIVE, versions)
            asked = await session.all(still_asked(len(same)), [sn for _, sn in same]) if same else ()
            still = {sn for (sn,) in asked}
            done = [row for row in same if row[1] not in still]
            await carry(session, LIVE, HISTORY, done)
            return len(done)

        return await self._db.writer.submit(job) if versions else 0


async def bring_back(session: Session, order_sn: str, version: int) -> bool:
    """Make an archived order an order of today, if it lies there at this version."""
    same = await locked(session, HISTORY, {order_sn: version})
    await carry(session, HISTORY, LIVE, same)
    return bool(same)


async def locked(session: Session, tables: Tables, versions: Mapping[str, int]) -> list[Row]:
    """Id and number of the orders that are at these versions; nobody else moves or changes them now."""
    numbers = sorted(versions)
    sql = (
        f"SELECT id, order_sn, version FROM {tables.orders} WHERE order_sn IN ({rows.marks(len(numbers))})"
        " FOR UPDATE"
    )
    return [row[:2] for row in await session.all(sql, numbers) if row[2] == versions[row[1]]]


async def carry(session: Session, source: Tables, target: Tables, orders: Sequence[Row]) -> None:
    """Move orders with all that belongs to them."""
    ids, numbers = [row[0] for row in orders], [row[1] for row in orders]
    for sql, by_id in moves(source, target, len(orders)) if orders else ():
        await session.run(sql, ids if by_id else numbers)
