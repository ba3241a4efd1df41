"""Reconciliation with the provider's bills: its reads and its stored results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import date
from typing import TypeVar

from shop_order.domain.bill import BillCursor, DayResult, Reconciliation
from shop_order.domain.entity.money import Refund
from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import Fence
from shop_order.domain.status import PaymentType
from shop_order.repository.dao.engine.base import Database, Row, Session, marks
from shop_order.repository.dao.leases import require_fence
from shop_order.repository.dao.payments import request_query
from shop_order.repository.dao.rows import (
    HISTORY,
    LIVE,
    PAYMENT,
    REFUND,
    Tables,
    column_count,
    payment_of,
    refund_of,
)

T = TypeVar("T")
TABLE_SETS = (LIVE, HISTORY)
MAX_KEPT = 80  # differences listed in a row, so that they fit a TEXT; all are counted
_COLUMNS = (
    "channel, day, our_trades, our_paid_fen, our_refunds, our_refunded_fen, bill_trades, bill_paid_fen,"
    " bill_refunds, bill_refunded_fen, differences, settled, waiting, detail, digest, created_ms, fence"
)
REPLACE_RESULT = f"REPLACE INTO reconciliation ({_COLUMNS}) VALUES ({marks(column_count(_COLUMNS))})"
DAYS = "SELECT day, differences, created_ms FROM reconciliation WHERE channel = ? AND day >= ?"


class Reconciliations:
    """See `domain.ports.Reconciliations`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def payments(self, payment_sns: Sequence[str]) -> Mapping[str, Payment]:
        found = await self._of_both(lambda tables: _payments(tables, len(payment_sns)), payment_sns)
        return {payment.payment_sn: payment for payment in map(payment_of, found)}

    async def refunds(self, refund_sns: Sequence[str]) -> Mapping[str, Refund]:
        found = await self._of_both(lambda tables: _refunds(tables, len(refund_sns)), refund_sns)
        return {refund.refund_sn: refund for refund in map(refund_of, found)}

    async def paid(
        self, channel: PaymentType, after: BillCursor, before_ms: int, limit: int
    ) -> Sequence[Payment]:
        found = await self._of_both(_paid, window(channel, after, before_ms, limit))
        return page([payment_of(row) for row in found], by_paid, limit)

    async def refunded(
        self, channel: PaymentType, after: BillCursor, before_ms: int, limit: int
    ) -> Sequence[Refund]:
        found = await self._of_both(_refunded, window(channel, after, before_ms, limit))
        return page([refund_of(row) for row in found], by_finished, limit)

    async def _of_both(self, statement: Callable[[Tables], str], values: Row) -> list[Row]:
        async def job(session: Session) -> list[Row]:
            return [row for tables in TABLE_SETS for row in await session.all(statement(tables), values)]

        return await self._db.scanner.submit(job)

    async def request_query(self, payment_sn: str, at_ms: int) -> None:
        await self._db.writer.submit(lambda session: request_query(session, payment_sn, at_ms))

    async def days(self, channel: PaymentType, since: date) -> Mapping[date, DayResult]:
        values = result_key(channel, since)
        return days_of(await self._db.reader.submit(lambda session: session.all(DAYS, values)))

    async def keep(self, result: Reconciliation, fence: Fence) -> None:
        async def job(session: Session) -> None:
            await require_fence(session, fence)
            await session.run(REPLACE_RESULT, result_row(result, fence))

        await self._db.writer.submit(job)


def _payments(tables: Tables, count: int) -> str:
    """Payments by number."""
    return f"SELECT {PAYMENT.select} FROM {tables.payments} WHERE payment_sn IN ({marks(count)})"


def _refunds(tables: Tables, count: int) -> str:
    """Refunds by number."""
    return f"SELECT {REFUND.select} FROM {tables.refunds} WHERE refund_sn IN ({marks(count)})"


def _paid(tables: Tables) -> str:
    """A page of paid payments; see `window`."""
    return (
        f"SELECT {PAYMENT.select} FROM {tables.payments}"
        " WHERE paid_ms >= ? AND paid_ms < ? AND (paid_ms > ? OR payment_sn > ?) AND payment_type = ?"
        " ORDER BY paid_ms, payment_sn LIMIT ?"
    )


def _refunded(tables: Tables) -> str:
    """A page of successful refunds; see `window`."""
    return (
        f"SELECT {REFUND.prefixed('r')} FROM {tables.refunds} r"
        f" JOIN {tables.payments} p ON p.payment_sn = r.payment_sn"
        " WHERE r.finished_ms >= ? AND r.finished_ms < ? AND (r.finished_ms > ? OR r.refund_sn > ?)"
        " AND r.state = 'succeeded' AND p.payment_type = ? ORDER BY r.finished_ms, r.refund_sn LIMIT ?"
    )


def window(channel: PaymentType, after: BillCursor, before_ms: int, limit: int) -> Row:
    """The values of a page's query."""
    return (after.at_ms, before_ms, after.at_ms, after.number, int(channel), limit)


def page(found: Sequence[T], key: Callable[[T], tuple[int, str]], limit: int) -> Sequence[T]:
    """Merge the pages of live and archived rows, which were read in one snapshot."""
    return sorted(found, key=key)[:limit]


def by_paid(payment: Payment) -> tuple[int, str]:
    """The sort key."""
    return (payment.paid_ms, payment.payment_sn)


def by_finished(refund: Refund) -> tuple[int, str]:
    """The sort key."""
    return (refund.finished_ms, refund.refund_sn)


def result_key(channel: PaymentType, day: date) -> Row:
    """The key of a stored result."""
    return (channel.code, day.isoformat())


def result_row(result: Reconciliation, fence: Fence) -> Row:
    """Values of REPLACE_RESULT."""
    shown = [asdict(one) for one in result.shown[:MAX_KEPT]]
    return (
        *result_key(result.channel, result.day), *astuple(result.ours), *astuple(result.theirs),
        result.differences, result.settled, result.waiting,
        json.dumps(shown, ensure_ascii=False, separators=(",", ":")),
        result.digest, result.created_ms, fence.number,
    )  # fmt: skip


def days_of(rows: Iterable[Row]) -> Mapping[date, DayResult]:
    """Return the results by day, from rows of DAYS."""
    found = (DayResult(date.fromisoformat(day), differences, ms) for day, differences, ms in rows)
    return {one.day: one for one in found}
