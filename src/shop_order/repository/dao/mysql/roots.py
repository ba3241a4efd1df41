"""The daily roots in MySQL or MariaDB."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.history_root import Leaf, Root
from shop_order.domain.lease import Fence
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.leases import require
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rooting import ADD, LAST, LEAVES, PAGE, STORED, require_next, root_of, row_of


class MysqlRoots:
    """See `domain.history_root.Roots`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last(self) -> Root | None:
        row = await self._db.scanner.submit(lambda session: session.first(LAST))
        return root_of(row) if row else None

    async def page(self, after_day: str, limit: int) -> Sequence[Root]:
        rows = await self._db.scanner.submit(lambda session: session.all(PAGE, (after_day, limit)))
        return [root_of(row) for row in rows]

    async def leaves(self, after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        values = (after_id, upto_id, limit)
        rows = await self._db.scanner.submit(lambda session: session.all(LEAVES, values))
        return [Leaf(*row) for row in rows]

    async def add(self, root: Root, fence: Fence) -> None:
        async def job(session: Session) -> None:
            await require(session, fence)
            require_next(root, await session.first(LAST))
            await session.run(ADD, row_of(root, fence))
            session.prove(STORED, (root.sealed.day, root.signature))

        await self._db.writer.submit(job)
