"""The outbox: a row stands as long as its event is not acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shop_order.domain.event.order_events import Event
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Database, Session
from shop_order.repository.dao.feed import hand_over
from shop_order.repository.dao.mapping import marks
from shop_order.repository.dao.rows import EVENT

# Set from left to right on a server: `tries` must still be the old one in the first term.
REFUSED = (
    "UPDATE outbox SET"
    " not_before_ms = ? + CASE WHEN tries < 6 THEN 1000 << tries ELSE 60000 END, tries = tries + 1 WHERE "
)
LAG = "SELECT count(*), coalesce(min(created_ms), 0) FROM outbox"


class Outbox:
    """See `domain.ports.Outbox`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, limit: int, now_ms: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda session: take(session, limit, now_ms))

    async def published(self, event_ids: Iterable[int]) -> None:
        if ids := list(event_ids):
            await self._db.writer.submit(lambda session: hand_over(session, ids))

    async def refused(self, event_ids: Iterable[int], now_ms: int) -> None:
        if ids := list(event_ids):

            async def job(session: Session) -> None:
                these, values = session.dialect.among("event_id", ids)
                await session.run(REFUSED + these, (now_ms, *values))

            await self._db.writer.submit(job)

    async def orders_waiting(self) -> set[str]:
        sql = "SELECT DISTINCT order_sn FROM outbox"
        return {sn for (sn,) in await self._db.scanner.submit(lambda session: session.all(sql))}

    async def lag(self) -> tuple[int, int]:
        count, oldest = await self._db.scanner.submit(lambda session: session.first(LAG)) or (0, 0)
        return count, oldest


async def take(session: Session, limit: int, now_ms: int) -> list[Event]:
    """At most `limit` waiting events of the first orders in line, each order's from its lowest version on.

    An order whose lowest version was refused lately is left out whole: nothing overtakes, and its later
    events take no other order's place in the line.
    """
    sql = (
        "SELECT DISTINCT order_sn FROM (SELECT order_sn FROM outbox WHERE order_sn NOT IN"
        " (SELECT order_sn FROM outbox WHERE not_before_ms > 0 AND not_before_ms > ?)"
        " ORDER BY event_id LIMIT ?) AS line"
    )
    numbers = [sn for (sn,) in await session.all(sql, (now_ms, limit))]
    if not numbers:
        return []
    sql = (
        f"SELECT {EVENT.prefixed('e')}, o.request_id, o.traceparent FROM outbox o"
        " JOIN order_event e ON e.order_sn = o.order_sn AND e.version = o.version"
        f" WHERE o.order_sn IN ({marks(len(numbers))}) ORDER BY o.order_sn, o.version LIMIT ?"
    )
    return [rows.event_of(row) for row in await session.all(sql, (*numbers, limit))]
