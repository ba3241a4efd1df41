"""Refunds: look-ups, lists, and those that wait for a decision."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import RefundNotFound, UnreadableRow
from shop_order.domain.ports import RefundFilter, RefundPage, RefundPosition
from shop_order.domain.status import RefundState
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session, StorePart
from shop_order.repository.dao.rows import HISTORY, LIVE, REFUND

_UNDECIDED = f"state = '{RefundState.REQUESTED.value}' AND approvals = 0 AND created_ms < ?"
_created_of, _sn_of = REFUND.of("created_ms"), REFUND.of("refund_sn")


class Refunds(StorePart):
    """See `domain.ports.Refunds`."""

    async def find(self, refund_sn: str) -> Refund:
        async def job(session: Session) -> Refund:
            for tables in (LIVE, HISTORY, LIVE):  # its order may be restored between two reads
                sql = f"SELECT {REFUND.select} FROM {tables.refunds} WHERE refund_sn = ?"
                if row := await session.first(sql, (refund_sn,)):
                    return rows.refund_of(row)
            raise RefundNotFound

        return await self._db.reader.submit(job)

    async def list(self, where: RefundFilter, *, limit: int, after: RefundPosition | None) -> RefundPage:
        return await self._db.scanner.submit(lambda session: list_refunds(session, where, limit, after))

    async def undecided(
        self, before_ms: int, limit: int, after: RefundPosition | None
    ) -> Sequence[RefundPosition]:
        async def job(session: Session) -> Sequence[RefundPosition]:
            condition, values = _past(session, after, ">")
            sql = (
                f"SELECT created_ms, refund_sn FROM refund WHERE {_UNDECIDED}{condition}"
                " ORDER BY created_ms, refund_sn LIMIT ?"
            )
            return [RefundPosition(*row) for row in await session.all(sql, (before_ms, *values, limit))]

        return await self._db.scanner.submit(job)


async def list_refunds(
    session: Session, where: RefundFilter, limit: int, after: RefundPosition | None
) -> RefundPage:
    """Return one page of live and archived refunds, newest first, from one statement."""
    parts = {"user": where.user, "state": where.state and where.state.value, "order_sn": where.order_sn}
    given = {name: value for name, value in parts.items() if value is not None}
    past, more = _past(session, after, "<")
    condition = " AND ".join(f"{name} = ?" for name in given) or "1 = 1"
    newest = "ORDER BY created_ms DESC, refund_sn DESC LIMIT ?"
    values = [*given.values(), *more, limit + 1]
    each = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {REFUND.select} FROM {table} WHERE {condition}{past} {newest}) AS {table}s"
        for table in (LIVE.refunds, HISTORY.refunds)
    )
    found = await session.all(f"{each} {newest}", (*values, *values, limit + 1))
    return _page(found[:limit], more=len(found) > limit)


def _past(session: Session, after: RefundPosition | None, sign: str) -> tuple[str, list[object]]:
    """The condition that continues after a position, and its values."""
    if after is None:
        return "", []
    condition, values = session.dialect.past_cursor(
        "created_ms", sign, after.created_ms, after.refund_sn, key="refund_sn"
    )
    return f" AND {condition}", values


def _page(found: Sequence[Row], *, more: bool) -> RefundPage:
    refunds = [rows.or_error(rows.refund_of, row) for row in found]
    return RefundPage(
        [refund for refund in refunds if isinstance(refund, Refund)],
        RefundPosition(_created_of(found[-1]), _sn_of(found[-1])) if more else None,
        [refund for refund in refunds if isinstance(refund, UnreadableRow)],
    )
