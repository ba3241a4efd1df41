"""The history tables: settled orders move there, and back if they change again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shop_order.domain.ports import Cursor, OrderPage
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session, StorePart, marks
from shop_order.repository.dao.lists import page_of
from shop_order.repository.dao.loading import orders_of
from shop_order.repository.dao.rows import HISTORY, ITEM_COLUMNS, LIVE, ORDER, PAYMENT, REFUND, Tables

# Every stored column; the others are generated.
STORED = Tables(
    f"{ORDER.select}, deleted_at",
    f"{ITEM_COLUMNS}, created_at, updated_at, deleted_at",
    f"{PAYMENT.select}, open_order_sn, ask_ms, ask_tries",
    f"{REFUND.select}, surplus_of, try_ms, tries",
)


def move_statements(source: Tables, target: Tables, orders: int) -> Iterator[tuple[str, bool]]:
    """Yield the statements that move `orders` orders, each with whether it takes ids (else numbers)."""
    for source_table, target_table, columns, key in (
        (source.orders, target.orders, STORED.orders, "id"),
        (source.items, target.items, STORED.items, '"order"'),
        (source.payments, target.payments, STORED.payments, "order_sn"),
        (source.refunds, target.refunds, STORED.refunds, "order_sn"),
    ):
        condition = f"WHERE {key} IN ({marks(orders)})"
        by_id = key != "order_sn"
        yield (
            f"INSERT INTO {target_table} ({columns}) SELECT {columns} FROM {source_table} {condition}",
            by_id,
        )
        yield f"DELETE FROM {source_table} {condition}", by_id


class Archive(StorePart):
    """See `domain.ports.Archive`."""

    async def oldest(self, before_ms: int, after: Cursor | None, limit: int) -> OrderPage:
        async def job(session: Session) -> OrderPage:
            condition, values = "created_at < ?", list[object]([rows.time_text(before_ms)])
            if after:
                at = rows.time_text(after.created_ms)
                after_cursor, more = session.dialect.past_cursor("created_at", ">", at, after.id)
                condition, values = f"{condition} AND {after_cursor}", [*values, *more]
            sql = f"SELECT {ORDER.select} FROM order_info WHERE {condition} ORDER BY created_at, id LIMIT ?"
            found = await session.all(sql, (*values, limit))
            orders = await orders_of(session, found, hashes=False)
            return page_of(found, orders, len(found), more=len(found) == limit)

        return await self._db.scanner.submit(job)

    async def move(self, versions: Mapping[str, int]) -> int:
        return await self._db.writer.submit(lambda session: move(session, versions)) if versions else 0


async def move(session: Session, versions: Mapping[str, int]) -> int:
    """Archive the orders at these versions without pending provider queries; return how many."""
    # Locked: a concurrent change has committed before, or finds the order in the history tables.
    locked = await lock_at_version(session, LIVE, versions)
    if not locked:
        return 0
    numbers = [sn for _, sn in locked]
    sql = f"SELECT order_sn FROM payment WHERE order_sn IN ({marks(len(numbers))}) AND ask_ms IS NOT NULL"
    pending = {sn for (sn,) in await session.all(sql, numbers)}
    movable = [row for row in locked if row[1] not in pending]
    await move_rows(session, LIVE, HISTORY, movable)
    return len(movable)


async def restore_order(session: Session, order_sn: str, version: int) -> bool:
    """Move an archived order back if it is at this version; return whether it was."""
    locked = await lock_at_version(session, HISTORY, {order_sn: version})
    await move_rows(session, HISTORY, LIVE, locked)
    return bool(locked)


async def lock_at_version(session: Session, tables: Tables, versions: Mapping[str, int]) -> list[Row]:
    """Lock the orders that are at these versions; return their ids and numbers."""
    numbers = sorted(versions)
    sql = (
        f"SELECT id, order_sn, version FROM {tables.orders} WHERE order_sn IN ({marks(len(numbers))})"
        f"{session.dialect.for_update}"
    )
    found = await session.all(sql, numbers)
    return [(id, order_sn) for id, order_sn, version in found if version == versions[order_sn]]


async def move_rows(session: Session, source: Tables, target: Tables, orders: Sequence[Row]) -> None:
    """Move orders with their items, payments and refunds."""
    ids, numbers = [id for id, _ in orders], [order_sn for _, order_sn in orders]
    for sql, by_id in move_statements(source, target, len(orders)) if orders else ():
        await session.run(sql, ids if by_id else numbers)
