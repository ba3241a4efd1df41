"""The test clock's offset."""

from __future__ import annotations

from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.session import Session


class MysqlTime:
    """See `repository.dao.base.ShopTime`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def offset_ms(self) -> int:
        return await self._db.reader.submit(offset)

    async def advance(self, by_ms: int) -> int:
        async def job(session: Session) -> int:
            sql = (
                "INSERT INTO shop_time (id, offset_ms) VALUES (1, ?)"
                " ON DUPLICATE KEY UPDATE offset_ms = offset_ms + ?"
            )
            await session.run(sql, (by_ms, by_ms))
            return await offset(session)

        return await self._db.writer.submit(job)


async def offset(session: Session) -> int:
    """Milliseconds the shop's clock is ahead."""
    row = await session.first("SELECT offset_ms FROM shop_time WHERE id = 1")
    return int(row[0]) if row else 0
