"""What should have gone on by itself in MySQL, and did not."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.ports import Behind
from shop_order.repository.dao.backlog import BACKLOG, behind
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.session import Session


class MysqlBacklog:
    """See `domain.ports.Backlog`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def behind(self, now_ms: int) -> Sequence[Behind]:
        async def look(session: Session) -> list[Behind]:
            return [behind(what, await session.first(sql, (now_ms,))) for what, sql in BACKLOG]

        return await self._db.scanner.submit(look)
