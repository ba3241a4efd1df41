"""What should have gone on by itself in SQLite, and did not."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.ports import Behind
from shop_order.repository.dao.backlog import BACKLOG, behind
from shop_order.repository.dao.sqlite.database import Database


class SqliteBacklog:
    """See `domain.ports.Backlog`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def behind(self, now_ms: int) -> Sequence[Behind]:
        return await self._db.scanner.submit(
            lambda conn: [behind(what, conn.execute(sql, (now_ms,)).fetchone()) for what, sql in BACKLOG]
        )
