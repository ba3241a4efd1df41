"""The outbox in SQLite: a row stands as long as its event is not acknowledged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from shop_order.domain.event.order_events import Event
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import WAITING_COLUMNS
from shop_order.repository.dao.sqlite.database import Database
from shop_order.repository.dao.sqlite.feed import hand_over


class SqliteOutbox:
    """See `domain.ports.Outbox`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, limit: int, now_ms: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda conn: take(conn, limit, now_ms))

    async def published(self, event_ids: Iterable[int]) -> None:
        ids = list(event_ids)
        await self._db.writer.submit(lambda conn: hand_over(conn, ids))

    async def refused(self, event_ids: Iterable[int], now_ms: int) -> None:
        sql = (
            "UPDATE outbox SET tries = tries + 1, not_before_ms = ? + min(1000 << min(tries, 6), 60000)"
            " WHERE event_id = ?"
        )
        values = [(now_ms, id) for id in event_ids]
        await self._db.writer.submit(lambda conn: conn.executemany(sql, values).rowcount)

    async def orders_waiting(self) -> set[str]:
        sql = "SELECT DISTINCT order_sn FROM outbox"
        return await self._db.scanner.submit(lambda conn: {sn for (sn,) in conn.execute(sql)})

    async def lag(self) -> tuple[int, int]:
        sql = "SELECT count(*), coalesce(min(created_ms), 0) FROM outbox"
        count, oldest = await self._db.scanner.submit(lambda conn: conn.execute(sql).fetchone())
        return count, oldest


def take(conn: sqlite3.Connection, limit: int, now_ms: int) -> list[Event]:
    """At most `limit` waiting events of the first orders in line, each order's from its lowest version on.

    An order whose lowest version was refused lately is left out whole: nothing overtakes, and its later
    events take no other order's place in the line.
    """
    sql = (
        "SELECT DISTINCT order_sn FROM (SELECT order_sn FROM outbox WHERE order_sn NOT IN"
        " (SELECT order_sn FROM outbox WHERE not_before_ms > 0 AND not_before_ms > ?)"
        " ORDER BY event_id LIMIT ?)"
    )
    numbers = [sn for (sn,) in conn.execute(sql, (now_ms, limit))]
    if not numbers:
        return []
    sql = (
        f"SELECT {WAITING_COLUMNS} FROM outbox o"
        " JOIN order_event e ON e.order_sn = o.order_sn AND e.version = o.version"
        f" WHERE o.order_sn IN ({rows.marks(len(numbers))}) ORDER BY o.order_sn, o.version LIMIT ?"
    )
    return [rows.event_of(row) for row in conn.execute(sql, (*numbers, limit))]
