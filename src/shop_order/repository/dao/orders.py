"""Orders and their events: look-ups, jobs that store and change orders, outbox and feed, overdue work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import Overloaded, TooMuchContention, UnreadableRow
from shop_order.domain.event.order_events import Event, NewEvent
from shop_order.domain.order_log import FeedEntry
from shop_order.domain.ports import (
    TOMBSTONE_LIFETIME_MS,
    Cursor,
    Due,
    Key,
    KeyRecord,
    OrderFilter,
    OrderPage,
    OrderStanding,
    OverdueWork,
)
from shop_order.domain.status import DUE_REFUND, PAID_PAYMENT, RefundState, RefundStatus
from shop_order.pkg.batching import Batcher
from shop_order.pkg.tracing import origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.changing import Change, VersionConflict, change_many, change_one
from shop_order.repository.dao.engine.base import BulkJob, Database, Session, StorePart, literals, marks
from shop_order.repository.dao.lists import list_orders
from shop_order.repository.dao.loading import OrderKey, find_standings, load, load_many
from shop_order.repository.dao.placing import (
    KEY_TTL_MS,
    KeyQuery,
    count_unpaid,
    find_idempotency_records,
    prepare,
    store_many,
    store_one,
)
from shop_order.repository.dao.rows import EVENT, OUTBOX_COLUMNS
from shop_order.repository.dao.tombstones import plant_unless_stored, purge

T = TypeVar("T")
MAX_DECISIONS = 3
MAX_PURGED = 500
# An order with an open refund waits for its end, which makes the order due again.
DUE = f"due_ms <= ? AND refund_status <> {int(RefundStatus.OPEN)}"
HISTORY_OF_ORDER = f"SELECT {EVENT.select} FROM order_event WHERE order_sn = ? ORDER BY version"
# SQLite's DELETE takes no LIMIT; MySQL's subquery of the same table takes none.
PURGE_KEYS = {
    "sqlite": (
        'DELETE FROM idempotency_key WHERE (scope, "key") IN'
        f' (SELECT scope, "key" FROM idempotency_key WHERE created_ms <= ? LIMIT {MAX_PURGED})'
    ),
    "mysql": f"DELETE FROM idempotency_key WHERE created_ms <= ? ORDER BY created_ms LIMIT {MAX_PURGED}",
}
# MySQL assigns from left to right: the first assignment needs the old `tries`.
REFUSED = (
    "UPDATE outbox SET not_before_ms = ? + CASE WHEN tries BETWEEN 0 AND 5 THEN 1000 << tries ELSE 60000 END,"
    f" tries = {rows.counted('tries')} + 1 WHERE "
)
EVENTS = f"SELECT {EVENT.select} FROM order_event WHERE order_sn = ? AND version > ? ORDER BY version LIMIT ?"


class Orders:
    """See `domain.ports.Orders`."""

    def __init__(
        self, db: Database, next_id: Callable[[], int], on_stored: Callable[[Sequence[str]], None]
    ) -> None:
        self._db = db
        self._next_id = next_id
        self._on_stored = on_stored
        self.lookups: Batcher[KeyQuery, KeyRecord | None] = Batcher(
            self._find_idempotency_records,
            max_batch=db.options.batch,
            queue=db.options.queue,
            full=Overloaded,
        )

    async def add(
        self,
        order: Order,
        *,
        cart_version: int | None,
        key: Key | None,
        unpaid_limit: int,
        in_time: Callable[[], bool],
    ) -> None:
        new = prepare(order, self._next_id, cart_version, key, unpaid_limit, in_time)
        await self._db.writer.submit(BulkJob(new, store_one, store_many))
        order.last_hash = new.last_hash
        self._stored(order.new_events)

    async def change(
        self, order_sn: str, decide: Callable[[Order], T], *, key: Key | None = None, seller: str = ""
    ) -> tuple[Order, T]:
        change = Change(order_sn, decide, key, seller, origin(), self._next_id)
        for _ in range(MAX_DECISIONS):
            try:
                order, decided = await self._db.writer.submit(BulkJob(change, change_one, change_many))
            except VersionConflict:
                continue
            self._stored(order.new_events)
            return order, decided
        raise TooMuchContention

    def _stored(self, happened: list[NewEvent]) -> None:
        if happened:
            self._on_stored([one.type for one in happened])
            happened.clear()

    async def get(self, order_sn: str) -> Order:
        return await self._get(("order_sn", order_sn))

    async def get_by_id(self, id: int) -> Order:
        return await self._get(("id", id))

    async def _get(self, wanted: OrderKey) -> Order:
        order: Order = await self._db.reader.submit(BulkJob(wanted, load, load_many))
        return order

    async def list(
        self,
        where: OrderFilter,
        *,
        offset: int,
        limit: int,
        after: Cursor | None,
        max_items: int | None = None,
    ) -> OrderPage:
        return await self._db.scanner.submit(
            lambda session: list_orders(session, where, offset, limit, after, max_items)
        )

    async def history(self, order_sn: str) -> Sequence[Event]:
        found = await self._db.reader.all(HISTORY_OF_ORDER, (order_sn,))
        return [rows.event_of(row) for row in found]

    async def count_unpaid(self, user: int) -> int:
        return await self._db.reader.submit(lambda session: count_unpaid(session, user))

    async def due(self, now_ms: int, limit: int, after: Due | None = None) -> Sequence[Due]:
        async def job(session: Session) -> Sequence[Due]:
            condition, values = DUE, list[object]([now_ms])
            if after:
                after_cursor, more = session.dialect.past_cursor("due_ms", ">", after.due_ms, after.id)
                condition, values = f"{condition} AND {after_cursor}", [*values, *more]
            sql = f"SELECT order_sn, due_ms, id FROM order_info WHERE {condition} ORDER BY due_ms, id LIMIT ?"
            return [Due(*row) for row in await session.all(sql, (*values, limit))]

        return await self._db.scanner.submit(job)

    async def statuses_or_tombstones(
        self, order_sns: Sequence[str], now_ms: int
    ) -> Mapping[str, OrderStanding | UnreadableRow | None]:
        wanted = sorted(set(order_sns))
        found = await self._db.reader.submit(lambda session: find_standings(session, wanted))
        absent = [sn for sn in wanted if sn not in found]
        if not absent:
            return found  # the usual case needs no writer
        planted = await self._db.writer.submit(lambda session: plant_unless_stored(session, absent, now_ms))
        return {**found, **planted}

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        return await self.lookups.submit((scope, key, now_ms - KEY_TTL_MS))

    async def _find_idempotency_records(self, wanted: Sequence[KeyQuery]) -> Sequence[KeyRecord | None]:
        return await self._db.reader.submit(lambda session: find_idempotency_records(session, wanted))

    async def purge_keys(self, now_ms: int) -> int:
        expired_ms = now_ms - KEY_TTL_MS
        return await self._db.writer.submit(
            lambda session: session.run(PURGE_KEYS[session.dialect.name], (expired_ms,))
        )

    async def purge_tombstones(self, now_ms: int) -> int:
        return await self._db.writer.submit(lambda session: purge(session, now_ms - TOMBSTONE_LIFETIME_MS))


class Outbox(StorePart):
    """See `domain.ports.Outbox`."""

    async def take(self, limit: int, now_ms: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda session: take_events(session, limit, now_ms))

    async def published(self, event_ids: Iterable[int]) -> None:
        if ids := list(event_ids):
            await self._db.writer.submit(lambda session: hand_over(session, ids))

    async def refused(self, event_ids: Iterable[int], now_ms: int) -> None:
        if ids := list(event_ids):

            async def job(session: Session) -> None:
                condition, values = session.dialect.in_list("event_id", ids)
                await session.run(REFUSED + condition, (now_ms, *values))

            await self._db.writer.submit(job)

    async def publish_again(self, order_sn: str, type: str, number: str, now_ms: int) -> None:
        async def job(session: Session) -> None:
            history = [rows.event_of(row) for row in await session.all(HISTORY_OF_ORDER, (order_sn,))]
            named = [e for e in history if e.type == type and f'"{number}"'.encode() in e.payload]
            waiting = f"{session.dialect.insert_ignore} INTO outbox ({OUTBOX_COLUMNS}) VALUES"
            for event in named:
                values = rows.outbox_row(replace(event, created_ms=now_ms), origin())
                await session.run(f"{waiting} ({marks(len(values))})", values)

        await self._db.writer.submit(job)

    async def orders_waiting(self) -> set[str]:
        sql = "SELECT DISTINCT order_sn FROM outbox"
        return {sn for (sn,) in await self._db.scanner.all(sql)}

    async def lag(self) -> tuple[int, int]:
        return await lag_of(self._db, "outbox")


async def take_events(session: Session, limit: int, now_ms: int) -> list[Event]:
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


class Feed(StorePart):
    """See `domain.ports.Feed`."""

    async def take(self, after: int, limit: int) -> Sequence[FeedEntry]:
        sql = "SELECT event_id, order_sn, version FROM log_feed WHERE event_id > ? ORDER BY event_id LIMIT ?"
        found = await self._db.scanner.all(sql, (after, limit))
        return [FeedEntry(*row) for row in found]

    async def events(self, since: Mapping[str, int], limit: int) -> Sequence[Event]:
        return await self._db.scanner.submit(lambda session: events_since(session, since, limit))

    async def done(self, event_ids: Collection[int]) -> None:
        async def job(session: Session) -> None:
            condition, ids = session.dialect.in_list("event_id", event_ids)
            await session.run(f"DELETE FROM log_feed WHERE {condition}", ids)

        if event_ids:
            await self._db.writer.submit(job)

    async def lag(self) -> tuple[int, int]:
        return await lag_of(self._db, "log_feed")


async def lag_of(db: Database, table: str) -> tuple[int, int]:
    """Return the number of events in the outbox or the feed, and the time of the oldest."""
    count, oldest = await db.scanner.first(f"SELECT count(*), coalesce(min(created_ms), 0) FROM {table}") or (
        0,
        0,
    )
    return count, oldest


async def events_since(session: Session, since: Mapping[str, int], limit: int) -> list[Event]:
    """Return at most `limit` events, order by order."""
    found: list[Event] = []
    for order_sn, version in since.items():
        rest = await session.all(EVENTS, (order_sn, version, limit - len(found)))
        found.extend(map(rows.event_of, rest))
        if len(found) >= limit:
            break
    return found


# Each count walks an index.
BACKLOG = (
    ("order", f"SELECT count(*), min(due_ms) FROM order_info WHERE {DUE}"),
    (
        "payment",
        "SELECT count(*), min(expire_ms) FROM payment WHERE ask_ms IS NOT NULL AND expire_ms <= ?"
        f" AND state NOT IN ({literals(PAID_PAYMENT)})",
    ),
    (
        "refund",
        f"SELECT count(*), min(try_ms) FROM refund WHERE try_ms <= ? AND state IN ({literals(DUE_REFUND)})",
    ),
    (
        "refund_decision",
        "SELECT count(*), min(created_ms) FROM refund"
        f" WHERE state = '{RefundState.REQUESTED.value}' AND created_ms <= ?",
    ),
)


class Backlog(StorePart):
    """See `domain.ports.Backlog`."""

    async def overdue(self, now_ms: int) -> Sequence[OverdueWork]:
        async def job(session: Session) -> list[OverdueWork]:
            found = [(what, await session.first(sql, (now_ms,)) or (0, None)) for what, sql in BACKLOG]
            return [OverdueWork(what, int(count), int(since_ms or 0)) for what, (count, since_ms) in found]

        return await self._db.scanner.submit(job)
