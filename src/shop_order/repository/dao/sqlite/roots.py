"""The daily roots in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from shop_order.domain.history_root import Leaf, Root
from shop_order.domain.lease import Fence
from shop_order.repository.dao.rooting import ADD, LAST, LEAVES, PAGE, require_next, root_of, row_of
from shop_order.repository.dao.sqlite.database import Database
from shop_order.repository.dao.sqlite.leases import require


class SqliteRoots:
    """See `domain.history_root.Roots`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last(self) -> Root | None:
        row = await self._db.scanner.submit(lambda conn: conn.execute(LAST).fetchone())
        return root_of(row) if row else None

    async def page(self, after_day: str, limit: int) -> Sequence[Root]:
        rows = await self._db.scanner.submit(lambda conn: conn.execute(PAGE, (after_day, limit)).fetchall())
        return [root_of(row) for row in rows]

    async def leaves(self, after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        values = (after_id, upto_id, limit)
        rows = await self._db.scanner.submit(lambda conn: conn.execute(LEAVES, values).fetchall())
        return [Leaf(*row) for row in rows]

    async def add(self, root: Root, fence: Fence) -> None:
        def job(conn: sqlite3.Connection) -> None:
            require(fence)
            require_next(root, conn.execute(LAST).fetchone())
            conn.execute(ADD, row_of(root, fence))

        await self._db.writer.submit(job)
