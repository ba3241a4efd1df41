"""Looking attempts and refunds up, and when to ask about them next."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import Unreadable
from shop_order.repository.dao import reconciling as asking
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE
from shop_order.repository.dao.rows import PAYMENT_COLUMNS, REFUND_COLUMNS
from shop_order.repository.dao.sqlite.archive import bring_back
from shop_order.repository.dao.sqlite.database import Database


class SqlitePayments:
    """See `domain.ports.Payments`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, payment_sn: str) -> Payment | None:
        def job(conn: sqlite3.Connection) -> Payment | None:
            for tables in (LIVE, HISTORY):
                sql = f"SELECT {PAYMENT_COLUMNS} FROM {tables.payments} WHERE payment_sn = ?"
                if row := conn.execute(sql, (payment_sn,)).fetchone():
                    return rows.payment_of(row)
            return None

        return await self._db.reader.submit(job)

    async def to_ask(self, now_ms: int, limit: int) -> Sequence[tuple[Payment | Unreadable, int]]:
        sql = f"SELECT {PAYMENT_COLUMNS}, ask_tries FROM payment WHERE ask_ms <= ? ORDER BY ask_ms LIMIT ?"
        found = await self._db.scanner.submit(lambda conn: conn.execute(sql, (now_ms, limit)).fetchall())
        return [(rows.payment_or_why(row), row[-1]) for row in found]

    async def to_refund(self, now_ms: int, limit: int) -> Sequence[tuple[Refund, int]]:
        sql = (
            f"SELECT {REFUND_COLUMNS}, tries FROM refund"
            " WHERE try_ms <= ? AND state IN ('approved', 'sent', 'unknown') ORDER BY try_ms LIMIT ?"
        )
        found = await self._db.scanner.submit(lambda conn: conn.execute(sql, (now_ms, limit)).fetchall())
        return [(rows.refund_of(row), row[-1]) for row in found]

    async def ask_later(self, payment_sn: str, at_ms: int) -> None:
        sql = (
            "UPDATE payment SET ask_ms = ?, ask_tries = ask_tries + 1"
            " WHERE payment_sn = ? AND ask_ms IS NOT NULL"
        )
        await self._db.writer.submit(lambda conn: conn.execute(sql, (at_ms, payment_sn)).rowcount)

    async def ask_again(self, payment_sn: str, at_ms: int) -> None:
        await self._db.writer.submit(lambda conn: ask_again(conn, payment_sn, at_ms))

    async def ask_no_more(self, payment_sn: str) -> None:
        sql = "UPDATE payment SET ask_ms = NULL WHERE payment_sn = ?"
        await self._db.writer.submit(lambda conn: conn.execute(sql, (payment_sn,)).rowcount)

    async def refund_later(self, refund_sn: str, at_ms: int) -> None:
        sql = "UPDATE refund SET try_ms = ?, tries = tries + 1 WHERE refund_sn = ? AND try_ms IS NOT NULL"
        await self._db.writer.submit(lambda conn: conn.execute(sql, (at_ms, refund_sn)).rowcount)


def ask_again(conn: sqlite3.Connection, payment_sn: str, at_ms: int) -> None:
    """See `Payments.ask_again`."""
    if not conn.execute(asking.IS_LIVE, (payment_sn,)).fetchone():
        for order_sn, version in conn.execute(asking.ARCHIVED, (payment_sn,)).fetchall():
            bring_back(conn, order_sn, version)
    conn.execute(asking.ASK, (at_ms, payment_sn))
