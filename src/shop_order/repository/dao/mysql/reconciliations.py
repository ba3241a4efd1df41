"""What a reconciliation reads and keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from shop_order.domain.bill import After, Kept, Reconciliation
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.lease import Fence
from shop_order.domain.status import PaymentType
from shop_order.repository.dao import reconciling as sql
from shop_order.repository.dao.archiving import Tables
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.leases import require
from shop_order.repository.dao.mysql.payments import ask_again
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.rows import Row, payment_of, refund_of


class MysqlReconciliations:
    """See `domain.bill.Reconciliations`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def payments(self, payment_sns: Sequence[str]) -> Mapping[str, Payment]:
        found = await self._of_both(lambda tables: sql.payments(tables, len(payment_sns)), payment_sns)
        return {row[0]: payment_of(row) for row in found}

    async def refunds(self, refund_sns: Sequence[str]) -> Mapping[str, Refund]:
        found = await self._of_both(lambda tables: sql.refunds(tables, len(refund_sns)), refund_sns)
        return {row[0]: refund_of(row) for row in found}

    async def paid(self, channel: PaymentType, after: After, before_ms: int, limit: int) -> Sequence[Payment]:
        found = await self._of_both(sql.paid, sql.window(channel, after, before_ms, limit))
        return sql.page([payment_of(row) for row in found], sql.by_paid, limit)

    async def refunded(
        self, channel: PaymentType, after: After, before_ms: int, limit: int
    ) -> Sequence[Refund]:
        found = await self._of_both(sql.refunded, sql.window(channel, after, before_ms, limit))
        return sql.page([refund_of(row) for row in found], sql.by_finished, limit)

    async def _of_both(self, statement: Callable[[Tables], str], values: Row) -> list[Row]:
        async def job(session: Session) -> list[Row]:
            return [row for tables in sql.BOTH for row in await session.all(statement(tables), values)]

        return await self._db.scanner.submit(job)

    async def ask_again(self, payment_sn: str, at_ms: int) -> None:
        await self._db.writer.submit(lambda session: ask_again(session, payment_sn, at_ms))

    async def days(self, channel: PaymentType, since: date) -> Mapping[date, Kept]:
        values = sql.named(channel, since)
        return sql.days_of(await self._db.reader.submit(lambda session: session.all(sql.DAYS, values)))

    async def keep(self, result: Reconciliation, fence: Fence) -> None:
        async def job(session: Session) -> None:
            await require(session, fence)
            await session.run(sql.KEEP, sql.kept(result, fence))

        await self._db.writer.submit(job)
