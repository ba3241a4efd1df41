"""Reading the whole history."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import Event
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import EVENT_COLUMNS
from shop_order.repository.dao.sqlite.database import Database
from shop_order.repository.dao.sqlite.orders import load


class SqliteAudit:
    """See `domain.ports.Audit`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        sql = (
            "SELECT order_sn FROM (SELECT order_sn FROM order_info WHERE order_sn > ?1"
            " UNION SELECT order_sn FROM order_info_history WHERE order_sn > ?1"
            " UNION SELECT order_sn FROM order_event WHERE order_sn > ?1) ORDER BY order_sn LIMIT ?2"
        )
        return await self._db.scanner.submit(lambda conn: [sn for (sn,) in conn.execute(sql, (after, limit))])

    async def chain(self, order_sn: str) -> Sequence[Event]:
        sql = f"SELECT {EVENT_COLUMNS} FROM order_event WHERE order_sn = ? ORDER BY version"
        return await self._db.scanner.submit(
            lambda conn: [rows.event_of(r) for r in conn.execute(sql, (order_sn,))]
        )

    async def order(self, order_sn: str) -> Order | None:
        def job(conn: sqlite3.Connection) -> Order | None:
            try:
                return load(conn, "order_sn", order_sn)
            except OrderNotFound:
                return None

        return await self._db.scanner.submit(job)
