"""Payments and refunds: look-ups, and when to query the provider next."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.status import DUE_REFUND, PAID_PAYMENT, RefundState
from shop_order.repository.dao import rows
from shop_order.repository.dao.archive import restore_order
from shop_order.repository.dao.engine.base import Session, StorePart, literals
from shop_order.repository.dao.rows import HISTORY, LIVE, PAYMENT, REFUND

ASKED, TRIED = rows.counted("ask_tries"), rows.counted("tries")
# A paid one needs no query.
ASK_AGAIN = (
    "UPDATE payment SET ask_ms = ?, ask_tries = 0"
    f" WHERE payment_sn = ? AND state NOT IN ({literals(PAID_PAYMENT)})"
)
ARCHIVED = (
    "SELECT o.order_sn, o.version FROM payment_history p JOIN order_info_history o"
    " ON o.order_sn = p.order_sn WHERE p.payment_sn = ?"
)


class Payments(StorePart):
    """See `domain.ports.Payments`."""

    async def find(self, payment_sn: str) -> Payment | None:
        async def job(session: Session) -> Payment | None:
            for tables in (LIVE, HISTORY):
                sql = f"SELECT {PAYMENT.select} FROM {tables.payments} WHERE payment_sn = ?"
                if row := await session.first(sql, (payment_sn,)):
                    return rows.payment_of(row)
            return None

        return await self._db.reader.submit(job)

    async def due_queries(self, now_ms: int, limit: int) -> Sequence[tuple[Payment | UnreadableRow, int]]:
        sql = f"SELECT {PAYMENT.select}, {ASKED} FROM payment WHERE ask_ms <= ? ORDER BY ask_ms LIMIT ?"
        found = await self._db.scanner.all(sql, (now_ms, limit))
        return [(rows.or_error(rows.payment_of, row), int(row[-1])) for row in found]

    async def due_refunds(self, now_ms: int, limit: int) -> Sequence[tuple[Refund | UnreadableRow, int]]:
        sql = (
            f"SELECT {REFUND.select}, {TRIED} FROM refund WHERE try_ms <= ?"
            f" AND state IN ({literals(DUE_REFUND | {RefundState.FAILED})}) ORDER BY try_ms LIMIT ?"
        )
        found = await self._db.scanner.all(sql, (now_ms, limit))
        return [(rows.or_error(rows.refund_of, row), int(row[-1])) for row in found]

    async def postpone_query(self, payment_sn: str, at_ms: int) -> None:
        sql = (
            f"UPDATE payment SET ask_ms = ?, ask_tries = {ASKED} + 1"
            " WHERE payment_sn = ? AND ask_ms IS NOT NULL"
        )
        await self._db.writer.run(sql, (at_ms, payment_sn))

    async def request_query(self, payment_sn: str, at_ms: int) -> None:
        await self._db.writer.submit(lambda session: request_query(session, payment_sn, at_ms))

    async def stop_queries(self, payment: Payment, at_ms: int) -> None:
        sql = "UPDATE payment SET ask_ms = NULL WHERE payment_sn = ? AND ask_ms = ? AND state = ?"
        await self._db.writer.run(sql, (payment.payment_sn, at_ms, payment.state.value))

    async def postpone_refund(self, refund_sn: str, at_ms: int) -> None:
        sql = f"UPDATE refund SET try_ms = ?, tries = {TRIED} + 1 WHERE refund_sn = ? AND try_ms IS NOT NULL"
        await self._db.writer.run(sql, (at_ms, refund_sn))

    async def stop_refund(self, refund_sn: str, at_ms: int) -> None:
        sql = "UPDATE refund SET try_ms = NULL WHERE refund_sn = ? AND try_ms = ? AND state = 'failed'"
        await self._db.writer.run(sql, (refund_sn, at_ms))

    async def request_refund(self, out_refund_no: str, at_ms: int) -> None:
        # One that failed waits for nothing, but its money may reach the buyer after all.
        sql = (
            "UPDATE refund SET tries = CASE WHEN try_ms IS NULL THEN 0 ELSE tries END, try_ms = ?"
            " WHERE out_refund_no = ? AND (try_ms > ? OR (try_ms IS NULL AND state = 'failed'))"
        )
        await self._db.writer.run(sql, (at_ms, out_refund_no, at_ms))


async def request_query(session: Session, payment_sn: str, at_ms: int) -> None:
    """See `Payments.request_query`."""
    if not await session.first("SELECT 1 FROM payment WHERE payment_sn = ?", (payment_sn,)):
        for order_sn, version in await session.all(ARCHIVED, (payment_sn,)):
            await restore_order(session, order_sn, version)
    await session.run(ASK_AGAIN, (at_ms, payment_sn))
