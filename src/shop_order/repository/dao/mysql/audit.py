"""Reading the whole history."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import Event
from shop_order.repository.dao import rows
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.loading import load
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rows import EVENT_COLUMNS


class MysqlAudit:
    """See `domain.ports.Audit`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        # Each part ends at the limit: the union of all numbers would be made before the outer one.
        sql = (
            "(SELECT order_sn FROM order_info WHERE order_sn > ? ORDER BY order_sn LIMIT ?) UNION"
            " (SELECT order_sn FROM order_info_history WHERE order_sn > ? ORDER BY order_sn LIMIT ?) UNION"
            " (SELECT DISTINCT order_sn FROM order_event WHERE order_sn > ? ORDER BY order_sn LIMIT ?)"
            " ORDER BY order_sn LIMIT ?"
        )
        values = (after, limit, after, limit, after, limit, limit)
        return [sn for (sn,) in await self._db.scanner.submit(lambda session: session.all(sql, values))]

    async def chain(self, order_sn: str) -> Sequence[Event]:
        sql = f"SELECT {EVENT_COLUMNS} FROM order_event WHERE order_sn = ? ORDER BY version"
        found = await self._db.scanner.submit(lambda session: session.all(sql, (order_sn,)))
        return [rows.event_of(row) for row in found]

    async def order(self, order_sn: str) -> Order | None:
        async def job(session: Session) -> Order | None:
            try:
                return await load(session, "order_sn", order_sn)
            except OrderNotFound:
                return None

        return await self._db.scanner.submit(job)
