"""The outbox of unpublished events, and the feed of published ones that the order log has yet to store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from shop_order.domain.event.order_events import Event
from shop_order.domain.order_log import FeedEntry
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Database, Session, marks
from shop_order.repository.dao.rows import EVENT

# MySQL assigns from left to right: the first assignment needs the old `tries`.
REFUSED = (
    "UPDATE outbox SET"
    " not_before_ms = ? + CASE WHEN tries < 6 THEN 1000 << tries ELSE 60000 END, tries = tries + 1 WHERE "
)
LAG = "SELECT count(*), coalesce(min(created_ms), 0) FROM outbox"
EVENTS = f"SELECT {EVENT.select} FROM order_event WHERE order_sn = ? AND version > ? ORDER BY version LIMIT ?"


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
                condition, values = session.dialect.in_list("event_id", ids)
                await session.run(REFUSED + condition, (now_ms, *values))

            await self._db.writer.submit(job)

    async def orders_waiting(self) -> set[str]:
        sql = "SELECT DISTINCT order_sn FROM outbox"
        return {sn for (sn,) in await self._db.scanner.all(sql)}

    async def lag(self) -> tuple[int, int]:
        count, oldest = await self._db.scanner.first(LAG) or (0, 0)
        return count, oldest


async def take(session: Session, limit: int, now_ms: int) -> list[Event]:
    """Return at most `limit` events of the orders that wait longest, in the sequence of their versions.

    An order with a refused event is skipped until its retry: no event overtakes an earlier one.
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


async def hand_over(session: Session, event_ids: Collection[int]) -> None:
    """Move published events from the outbox to the feed."""
    condition, ids = session.dialect.in_list("event_id", event_ids)
    await session.run(
        f"{session.dialect.insert_ignore} INTO log_feed (event_id, order_sn, version, created_ms)"
        f" SELECT event_id, order_sn, version, created_ms FROM outbox WHERE {condition}",
        ids,
    )
    await session.run(f"DELETE FROM outbox WHERE {condition}", ids)


class Feed:
    """See `domain.ports.Feed`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, after: int, limit: int) -> Sequence[FeedEntry]:
        sql = "SELECT event_id, order_sn, version FROM log_feed WHERE event_id > ? ORDER BY event_id LIMIT ?"
        found = await self._db.scanner.all(sql, (after, limit))
        return [FeedEntry(*row) for row in found]

    async def events(self, since: Mapping[str, int], limit: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda session: events(session, since, limit))

    async def done(self, event_ids: Collection[int]) -> None:
        async def job(session: Session) -> None:
            condition, ids = session.dialect.in_list("event_id", event_ids)
            await session.run(f"DELETE FROM log_feed WHERE {condition}", ids)

        if event_ids:
            await self._db.writer.submit(job)

    async def lag(self) -> tuple[int, int]:
        sql = "SELECT count(*), coalesce(min(created_ms), 0) FROM log_feed"
        count, oldest = await self._db.scanner.first(sql) or (0, 0)
        return count, oldest


async def events(session: Session, since: Mapping[str, int], limit: int) -> list[Event]:
    """Return at most `limit` events, order by order."""
    found: list[Event] = []
    for order_sn, version in since.items():
        rest = await session.all(EVENTS, (order_sn, version, limit - len(found)))
        found.extend(map(rows.event_of, rest))
        if len(found) >= limit:
            break
    return found
