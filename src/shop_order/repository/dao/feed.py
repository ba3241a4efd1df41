"""The way of events to the order log: what was published waits here until the log has it for good."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from shop_order.domain.event.order_events import Event
from shop_order.domain.order_log import FeedEntry
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Database, Session
from shop_order.repository.dao.rows import EVENT_COLUMNS

EVENTS = (
    f"SELECT {EVENT_COLUMNS} FROM order_event WHERE order_sn = ? AND version > ? ORDER BY version LIMIT ?"
)


async def hand_over(session: Session, event_ids: Collection[int]) -> None:
    """Published events leave the outbox for the feed."""
    these, ids = session.dialect.among("event_id", event_ids)
    await session.run(
        f"{session.dialect.insert_new} INTO log_feed (event_id, order_sn, version, created_ms)"
        f" SELECT event_id, order_sn, version, created_ms FROM outbox WHERE {these}",
        ids,
    )
    await session.run(f"DELETE FROM outbox WHERE {these}", ids)


class Feed:
    """See `domain.ports.Feed`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, after: int, limit: int) -> Sequence[FeedEntry]:
        sql = "SELECT event_id, order_sn, version FROM log_feed WHERE event_id > ? ORDER BY event_id LIMIT ?"
        found = await self._db.scanner.submit(lambda session: session.all(sql, (after, limit)))
        return [FeedEntry(*row) for row in found]

    async def events(self, since: Mapping[str, int], limit: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda session: events(session, since, limit))

    async def done(self, event_ids: Collection[int]) -> None:
        async def job(session: Session) -> None:
            these, ids = session.dialect.among("event_id", event_ids)
            await session.run(f"DELETE FROM log_feed WHERE {these}", ids)

        if event_ids:
            await self._db.writer.submit(job)

    async def lag(self) -> tuple[int, int]:
        sql = "SELECT count(*), coalesce(min(created_ms), 0) FROM log_feed"
        count, oldest = await self._db.scanner.submit(lambda session: session.first(sql)) or (0, 0)
        return count, oldest


async def events(session: Session, since: Mapping[str, int], limit: int) -> list[Event]:
    """At most `limit`, order by order."""
    found: list[Event] = []
    for order_sn, version in since.items():
        rest = await session.all(EVENTS, (order_sn, version, limit - len(found)))
        found.extend(map(rows.event_of, rest))
        if len(found) >= limit:
            break
    return found
