"""The test clock's offset."""

from __future__ import annotations

import sqlite3

from shop_order.repository.dao.sqlite.database import Database


class SqliteTime:
    """See `repository.dao.base.ShopTime`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def offset_ms(self) -> int:
        return await self._db.reader.submit(offset)

    async def advance(self, by_ms: int) -> int:
        def job(conn: sqlite3.Connection) -> int:
            sql = (
                "INSERT INTO shop_time (id, offset_ms) VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET offset_ms = offset_ms + excluded.offset_ms"
            )
            conn.execute(sql, (by_ms,))
            return offset(conn)

        return await self._db.writer.submit(job)


def offset(conn: sqlite3.Connection) -> int:
    """Milliseconds the shop's clock is ahead."""
    row = conn.execute("SELECT offset_ms FROM shop_time WHERE id = 1").fetchone()
    return int(row[0]) if row else 0
