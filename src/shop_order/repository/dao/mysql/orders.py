"""Orders in MySQL: every commit is one batch of the writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    OrderNotFound,
    OrderServiceError,
    Overloaded,
    TooMuchContention,
    Unreadable,
)
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import (
    COUNT_CAP,
    Cursor,
    Due,
    Key,
    KeyRecord,
    OrderFilter,
    OrderPage,
    Standing,
    always,
)
from shop_order.domain.tombstone import KEEP_MS
from shop_order.pkg.batching import Batcher
from shop_order.pkg.tracing import origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.backlog import DUE
from shop_order.repository.dao.mysql.changing import Change, Outrun, change_many, change_one
from shop_order.repository.dao.mysql.database import BulkJob, Database
from shop_order.repository.dao.mysql.lists import list_orders
from shop_order.repository.dao.mysql.loading import orders_of, standings
from shop_order.repository.dao.mysql.placing import (
    count_unpaid,
    find_keys,
    store_many,
    store_one,
)
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.mysql.tombstones import plant, purge
from shop_order.repository.dao.placing import KEEP_KEYS_MS, placing
from shop_order.repository.dao.rows import EVENT_COLUMNS, ORDER_COLUMNS, Row

T = TypeVar("T")
DECIDED_AT_MOST = 3
WantedKey = tuple[str, str, int]  # scope, key, and the time up to which it is over
Wanted = tuple[str, object]  # column and value


class MysqlOrders:
    """See `domain.ports.Orders`."""

    def __init__(
        self, db: Database, next_id: Callable[[], int], on_stored: Callable[[Sequence[str]], None]
    ) -> None:
        self._db = db
        self._next_id = next_id
        self._on_stored = on_stored
        self.lookups: Batcher[WantedKey, KeyRecord | None] = Batcher(
            self._find_keys, most=db.batch, queue=db.queue, full=Overloaded
        )
        self._gets: Batcher[Wanted, Order] = Batcher(
            self._load_many, most=db.batch, queue=db.queue, full=Overloaded
        )

    async def add(
        self,
        order: Order,
        *,
        cart_version: int | None,
        key: Key | None,
        unpaid_limit: int,
        in_time: Callable[[], bool] = always,
    ) -> None:
        new = placing(order, self._next_id, cart_version, key, unpaid_limit, in_time)
        await self._db.writer.submit(BulkJob(new, store_one, store_many))
        order.last_hash = new.last_hash
        self._on_stored([happened.type for happened in order.happened])
        order.happened.clear()

    async def change(
        self, order_sn: str, decide: Callable[[Order], T], *, key: Key | None = None, seller: str = ""
    ) -> tuple[Order, T]:
        change = Change(order_sn, decide, key, seller, origin(), self._next_id)
        for _ in range(DECIDED_AT_MOST):
            try:
                order, decided = await self._db.writer.submit(BulkJob(change, change_one, change_many))
            except Outrun:
                continue
            if order.happened:
                self._on_stored([happened.type for happened in order.happened])
                order.happened.clear()
            return order, decided
        raise TooMuchContention

    async def get(self, order_sn: str) -> Order:
        return await self._gets.submit(("order_sn", order_sn))

    async def get_by_id(self, id: int) -> Order:
        return await self._gets.submit(("id", id))

    async def _load_many(self, wanted: Sequence[Wanted]) -> Sequence[Order | BaseException]:
        async def whole(session: Session) -> Sequence[Order | BaseException]:
            # Two who want the same order get one each: they may go different ways with it.
            orders: dict[int, Order | Unreadable] = {}
            for tables in (LIVE, HISTORY):
                missing = {at: one for at, one in enumerate(wanted) if at not in orders}
                found = await rows_of(session, tables, [*missing.values()])
                there = [at for at, one in missing.items() if one in found]
                stored = [found[wanted[at]] for at in there]
                loaded = await orders_of(session, stored, hashes=True, tables=tables)
                orders.update(zip(there, loaded, strict=True))
            return [orders.get(at) or OrderNotFound() for at in range(len(wanted))]

        try:
            return await self._db.reader.submit(whole)
        except OrderServiceError:
            raise
        except Exception:
            if len(wanted) == 1:
                raise
        # Something of one of them breaks a statement for all: it must not hide the others.
        alone = await asyncio.gather(*(self._load_many([one]) for one in wanted), return_exceptions=True)
        return [found if isinstance(found, BaseException) else found[0] for found in alone]

    async def list(
        self,
        where: OrderFilter,
        *,
        offset: int,
        limit: int,
        after: Cursor | None,
        most_items: int | None = None,
    ) -> OrderPage:
        return await self._db.scanner.submit(
            lambda session: list_orders(session, where, offset, limit, after, COUNT_CAP, most_items)
        )

    async def history(self, order_sn: str) -> Sequence[Event]:
        sql = f"SELECT {EVENT_COLUMNS} FROM order_event WHERE order_sn = ? ORDER BY version"
        found = await self._db.reader.submit(lambda session: session.all(sql, (order_sn,)))
        return [rows.event_of(row) for row in found]

    async def count_unpaid(self, user: int) -> int:
        return await self._db.reader.submit(lambda session: count_unpaid(session, user))

    async def due(self, now_ms: int, limit: int, after: Due | None = None) -> Sequence[Due]:
        condition, values = DUE, [now_ms]
        if after:
            condition += " AND due_ms >= ? AND (due_ms > ? OR id > ?)"
            values += [after.due_ms, after.due_ms, after.id]
        sql = f"SELECT order_sn, due_ms, id FROM order_info WHERE {condition} ORDER BY due_ms, id LIMIT ?"
        found = await self._db.scanner.submit(lambda session: session.all(sql, (*values, limit)))
        return [Due(*row) for row in found]

    async def statuses_or_tombstones(
        self, order_sns: Sequence[str], now_ms: int
    ) -> Mapping[str, Standing | Unreadable | None]:
        wanted = sorted(set(order_sns))
        found = await self._db.reader.submit(lambda session: standings(session, wanted))
        absent = [sn for sn in wanted if sn not in found]
        if not absent:
            return found  # as nearly always: no writer waits for a check-back
        planted = await self._db.writer.submit(lambda session: unless_stored(session, absent, now_ms))
        return {**found, **planted}

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        return await self.lookups.submit((scope, key, now_ms - KEEP_KEYS_MS))

    async def _find_keys(self, wanted: Sequence[WantedKey]) -> Sequence[KeyRecord | None]:
        return await self._db.reader.submit(lambda session: find_keys(session, wanted))

    async def purge_keys(self, now_ms: int) -> int:
        sql = "DELETE FROM idempotency_key WHERE created_ms <= ? ORDER BY created_ms LIMIT 500"
        return await self._db.writer.submit(lambda session: session.run(sql, (now_ms - KEEP_KEYS_MS,)))

    async def purge_tombstones(self, now_ms: int) -> int:
        return await self._db.writer.submit(lambda session: purge(session, now_ms - KEEP_MS))


async def unless_stored(
    session: Session, order_sns: Sequence[str], now_ms: int
) -> dict[str, Standing | Unreadable | None]:
    """Take these numbers for tombstones; where those stand that were stored meanwhile. Raises RateLimited."""
    taken = await plant(session, order_sns, now_ms)
    found = await standings(session, taken)
    # A number and its order are stored in one commit: who has only the number was robbed of the order.
    robbed = {sn: Unreadable(sn, "its order was removed") for sn in taken if sn not in found}
    return {sn: found.get(sn) or robbed.get(sn) for sn in order_sns}


async def rows_of(session: Session, tables: Tables, wanted: Sequence[Wanted]) -> dict[Wanted, Row]:
    """The rows of orders that lie in these tables."""
    found: dict[Wanted, Row] = {}
    for column, at in (("order_sn", 2), ("id", 0)):
        if values := [value for name, value in wanted if name == column]:
            sql = f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {column} IN"
            stored = await session.all(f"{sql} ({rows.marks(len(values))})", values)
            found |= {(column, row[at]): row for row in stored}
    return found
