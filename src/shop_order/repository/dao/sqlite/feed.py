"""The way of events to the order log: what was published waits here until the log has it for good."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence

from shop_order.domain.event.order_events import Event
from shop_order.domain.order_log import Fed
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import EVENT_COLUMNS
from shop_order.repository.dao.sqlite.database import Database

_THESE = "WHERE event_id IN (SELECT value FROM json_each(?))"
HAND_OVER = (
    "INSERT OR IGNORE INTO log_feed (event_id, order_sn, version, created_ms)"
    f" SELECT event_id, order_sn, version, created_ms FROM outbox {_THESE}"
)
FORGET_PUBLISHED = f"DELETE FROM outbox {_THESE}"
FORGET_LOGGED = f"DELETE FROM log_feed {_THESE}"
EVENTS = (
    f"SELECT {EVENT_COLUMNS} FROM order_event WHERE order_sn = ? AND version > ? ORDER BY version LIMIT ?"
)


def hand_over(conn: sqlite3.Connection, event_ids: Collection[int]) -> None:
    """Published events leave the outbox for the feed."""
    ids = (json.dumps(list(event_ids)),)
    conn.execute(HAND_OVER, ids)
    conn.execute(FORGET_PUBLISHED, ids)


class SqliteFeed:
    """See `domain.order_log.Feed`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, after: int, limit: int) -> Sequence[Fed]:
        sql = "SELECT event_id, order_sn, version FROM log_feed WHERE event_id > ? ORDER BY event_id LIMIT ?"
        return await self._db.scanner.submit(
            lambda conn: [Fed(*row) for row in conn.execute(sql, (after, limit))]
        )

    async def events(self, since: Mapping[str, int], limit: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda conn: events(conn, since, limit))

    async def done(self, event_ids: Collection[int]) -> None:
        ids = (json.dumps(list(event_ids)),)
        await self._db.writer.submit(lambda conn: conn.execute(FORGET_LOGGED, ids).rowcount)

    async def lag(self) -> tuple[int, int]:
        sql = "SELECT count(*), coalesce(min(created_ms), 0) FROM log_feed"
        count, oldest = await self._db.scanner.submit(lambda conn: conn.execute(sql).fetchone())
        return count, oldest


def events(conn: sqlite3.Connection, since: Mapping[str, int], limit: int) -> list[Event]:
    """At most `limit`, order by order."""
    found: list[Event] = []
    for order_sn, version in since.items():
        found.extend(map(rows.event_of, conn.execute(EVENTS, (order_sn, version, limit - len(found)))))
        if len(found) >= limit:
            break
    return found
