"""Reconciliation with the provider's bills: its reads and its stored results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import date

from shop_order.domain.bill import SENT_REFUND, BillCursor, DayResult, Reconciliation, Totals
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.ports import Fence
from shop_order.domain.settled_day import StoredDay
from shop_order.domain.status import PaymentType, RefundState
from shop_order.repository.dao.engine.base import Row, Session, StorePart, literals, marks
from shop_order.repository.dao.leases import require_fence
from shop_order.repository.dao.payments import request_query
from shop_order.repository.dao.rows import HISTORY, LIVE, PAYMENT, REFUND, payment_of, refund_of

# Of live and archived orders, read in one snapshot; `window` returns the values.
PAID = [
    f"SELECT {PAYMENT.select} FROM {tables.payments}"
    " WHERE paid_ms >= ? AND paid_ms < ? AND (paid_ms > ? OR payment_sn > ?) AND payment_type = ?"
    " ORDER BY paid_ms, payment_sn LIMIT ?"
    for tables in (LIVE, HISTORY)
]
REFUNDED = [
    f"SELECT {REFUND.prefixed('r')} FROM {tables.refunds} r"
    f" JOIN {tables.payments} p ON p.payment_sn = r.payment_sn"
    " WHERE r.finished_ms >= ? AND r.finished_ms < ? AND (r.finished_ms > ? OR r.refund_sn > ?)"
    " AND r.state = 'succeeded' AND p.payment_type = ? ORDER BY r.finished_ms, r.refund_sn LIMIT ?"
    for tables in (LIVE, HISTORY)
]
# One that failed is not sent again by this: it is only asked about.
ASK_REFUND = (
    "UPDATE refund SET try_ms = ?, tries = CASE state WHEN 'failed' THEN 0 ELSE tries END"
    f" WHERE out_refund_no = ? AND state IN ({literals(SENT_REFUND | {RefundState.FAILED})})"
)
MAX_KEPT = 80  # differences listed in a row, so that they fit a TEXT; all are counted
REPLACE_RESULT = (
    "REPLACE INTO reconciliation (channel, day, our_trades, our_paid_fen, our_refunds, our_refunded_fen,"
    " bill_trades, bill_paid_fen, bill_refunds, bill_refunded_fen, bill_fee_fen, bill_discount_fen,"
    f" differences, settled, waiting, detail, digest, created_ms, fence) VALUES ({marks(19)})"
)
RESULTS = (  # a row a day for each channel: few enough to scan
    "SELECT channel, day, our_trades, our_paid_fen, our_refunds, our_refunded_fen, bill_trades,"
    " bill_paid_fen, bill_refunds, bill_refunded_fen, bill_fee_fen, bill_discount_fen, differences,"
    " created_ms FROM reconciliation WHERE day >= ? AND day <= ?"
)
DAYS = "SELECT day, differences, created_ms FROM reconciliation WHERE channel = ? AND day >= ?"


class Reconciliations(StorePart):
    """See `domain.ports.Reconciliations`."""

    async def payments(self, payment_sns: Sequence[str]) -> Mapping[str, Payment]:
        select = f"SELECT {PAYMENT.select} FROM {{}} WHERE payment_sn IN ({marks(len(payment_sns))})"
        found = await self._all([select.format(t.payments) for t in (LIVE, HISTORY)], payment_sns)
        return {payment.payment_sn: payment for payment in map(payment_of, found)}

    async def refunds(self, out_refund_nos: Sequence[str]) -> Mapping[str, Refund]:
        select = f"SELECT {REFUND.select} FROM {{}} WHERE out_refund_no IN ({marks(len(out_refund_nos))})"
        found = await self._all([select.format(t.refunds) for t in (LIVE, HISTORY)], out_refund_nos)
        return {refund.out_refund_no: refund for refund in map(refund_of, found)}

    async def paid(
        self, channel: PaymentType, after: BillCursor, before_ms: int, limit: int
    ) -> Sequence[Payment]:
        found = await self._all(PAID, window_parameters(channel, after, before_ms, limit))
        return sorted(map(payment_of, found), key=lambda p: (p.paid_ms, p.payment_sn))[:limit]

    async def refunded(
        self, channel: PaymentType, after: BillCursor, before_ms: int, limit: int
    ) -> Sequence[Refund]:
        found = await self._all(REFUNDED, window_parameters(channel, after, before_ms, limit))
        return sorted(map(refund_of, found), key=lambda r: (r.finished_ms, r.refund_sn))[:limit]

    async def _all(self, statements: Sequence[str], values: Row) -> list[Row]:
        async def job(session: Session) -> list[Row]:
            return [row for sql in statements for row in await session.all(sql, values)]

        return await self._db.scanner.submit(job)

    async def request_query(self, payment_sn: str, at_ms: int) -> None:
        await self._db.writer.submit(lambda session: request_query(session, payment_sn, at_ms))

    async def request_refund(self, out_refund_no: str, at_ms: int) -> None:
        await self._db.writer.run(ASK_REFUND, (at_ms, out_refund_no))

    async def days(self, channel: PaymentType, since: date) -> Mapping[date, DayResult]:
        rows = await self._db.reader.all(DAYS, (channel.code, since.isoformat()))
        found = (DayResult(date.fromisoformat(day), differences, ms) for day, differences, ms in rows)
        return {one.day: one for one in found}

    async def results(self, first: date, last: date) -> Sequence[StoredDay]:
        rows = await self._db.reader.all(RESULTS, (first.isoformat(), last.isoformat()))
        return [
            StoredDay(channel, date.fromisoformat(day), Totals(*sums[:4]), Totals(*sums[4:8]), *sums[8:])
            for channel, day, *sums in rows
        ]

    async def keep(self, result: Reconciliation, fence: Fence) -> None:
        async def job(session: Session) -> None:
            await require_fence(session, fence)
            await session.run(REPLACE_RESULT, result_row(result, fence))

        await self._db.writer.submit(job)


def window_parameters(channel: PaymentType, after: BillCursor, before_ms: int, limit: int) -> Row:
    """Return the values of PAID and REFUNDED."""
    return (after.at_ms, before_ms, after.at_ms, after.number, int(channel), limit)


def result_row(result: Reconciliation, fence: Fence) -> Row:
    """Return the values of REPLACE_RESULT."""
    shown = [asdict(one) for one in result.shown[:MAX_KEPT]]
    return (
        result.channel.code, result.day.isoformat(), *astuple(result.ours), *astuple(result.theirs),
        result.fee_fen, result.discount_fen, result.differences, result.settled, result.waiting,
        json.dumps(shown, ensure_ascii=False, separators=(",", ":")),
        result.digest, result.created_ms, fence.number,
    )  # fmt: skip
