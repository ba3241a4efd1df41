"""Orders in SQLite: every commit is one job of the writer thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import OrderNotFound, Overloaded, TooMuchContention, Unreadable
from shop_order.domain.event.order_events import Event, seal
from shop_order.domain.ports import (
    COUNT_CAP,
    Cursor,
    Due,
    Key,
    KeyRecord,
    OrderFilter,
    OrderPage,
    Standing,
    TradeNoTaken,
    always,
)
from shop_order.domain.tombstone import KEEP_MS
from shop_order.pkg.batching import Batcher
from shop_order.pkg.tracing import Origin, origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.backlog import DUE
from shop_order.repository.dao.changing import (
    BY_ANOTHER,
    HELD,
    INTO_TRADE_NO,
    UPDATE_ORDER,
    Before,
    changed_payments,
    changed_refunds,
    order_values,
    trade_nos,
)
from shop_order.repository.dao.placing import INTO_OUTBOX, KEEP_KEYS_MS, placing
from shop_order.repository.dao.rows import (
    EVENT_COLUMNS,
    ITEM_COLUMNS,
    ORDER_COLUMNS,
    PAYMENT_COLUMNS,
    REFUND_COLUMNS,
    STANDING_COLUMNS,
)
from shop_order.repository.dao.sqlite.archive import bring_back
from shop_order.repository.dao.sqlite.database import BulkJob, Database
from shop_order.repository.dao.sqlite.lists import list_orders
from shop_order.repository.dao.sqlite.placing import (
    MOST_ROWS,
    UNLESS_THERE,
    WantedKey,
    count_unpaid,
    find_keys,
    store_many,
    store_one,
    take_key,
)
from shop_order.repository.dao.sqlite.tombstones import plant, purge

T = TypeVar("T")
INSERT_EVENT = f"INSERT INTO order_event ({EVENT_COLUMNS}) VALUES ({rows.marks(8)})"
INSERT_OUTBOX = f"{INTO_OUTBOX} ({rows.marks(6)})"
UPSERT_PAYMENT = (
    f"INSERT INTO payment ({PAYMENT_COLUMNS}, open_order_sn, ask_ms) VALUES ({rows.marks(15)})"
    " ON CONFLICT (payment_sn) DO UPDATE SET state = excluded.state, trade_no = excluded.trade_no,"
    " paid_ms = excluded.paid_ms, refunded_fen = excluded.refunded_fen,"
    " open_order_sn = excluded.open_order_sn, ask_ms = excluded.ask_ms"
)
INSERT_TRADE_NO = f"{INTO_TRADE_NO} ({rows.marks(5)}){UNLESS_THERE}"
UPSERT_REFUND = (
    f"INSERT INTO refund ({REFUND_COLUMNS}, surplus_of, try_ms) VALUES ({rows.marks(11)})"
    " ON CONFLICT (refund_sn) DO UPDATE SET state = excluded.state, finished_ms = excluded.finished_ms,"
    " try_ms = CASE WHEN excluded.try_ms IS NULL THEN NULL ELSE try_ms END"
)


class SqliteOrders:
    """See `domain.ports.Orders`."""

    def __init__(
        self, db: Database, next_id: Callable[[], int], on_stored: Callable[[Sequence[str]], None]
    ) -> None:
        self._db = db
        self._next_id = next_id
        self._on_stored = on_stored
        self.lookups: Batcher[WantedKey, KeyRecord | None] = Batcher(
            self._find_keys, most=MOST_ROWS, queue=db.queue, full=Overloaded
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
        asked = origin()

        def job(conn: sqlite3.Connection) -> tuple[Order, T]:
            order = load(conn, "order_sn", order_sn)
            before = Before.of(order)
            decided = decide(order)
            if key:
                take_key(conn, key, order_sn, decided.payment_sn if isinstance(decided, Payment) else "")
            if order.happened:
                self._save(conn, order, before, asked)
                for number in trade_nos(order, before, seller):
                    take_trade_no(conn, number)
            return order, decided

        order, decided = await self._db.writer.submit(job)
        if order.happened:
            self._on_stored([happened.type for happened in order.happened])
            order.happened.clear()
        return order, decided

    def _save(self, conn: sqlite3.Connection, order: Order, before: Before, asked: Origin) -> None:
        changed = order_values(order, before)
        if conn.execute(UPDATE_ORDER, changed).rowcount != 1:
            if not bring_back(conn, order.order_sn, before.version):
                raise TooMuchContention  # one writer: only a second process could have come between
            conn.execute(UPDATE_ORDER, changed)
        for payment, open_sn, ask_ms in changed_payments(order, before):
            conn.execute(UPSERT_PAYMENT, (*rows.payment_row(payment), open_sn, ask_ms))
        for refund, surplus_of, try_ms in changed_refunds(order, before):
            conn.execute(UPSERT_REFUND, (*rows.refund_row(refund), surplus_of, try_ms))
        self._store_events(conn, order, asked)

    def _store_events(self, conn: sqlite3.Connection, order: Order, asked: Origin) -> None:
        for happened in order.happened:
            event = seal(happened, id=self._next_id(), order_sn=order.order_sn, prev_hash=order.last_hash)
            order.last_hash = event.hash
            conn.execute(INSERT_EVENT, rows.event_row(event))
            conn.execute(INSERT_OUTBOX, rows.outbox_row(event, asked))

    async def get(self, order_sn: str) -> Order:
        return await self._db.reader.submit(lambda conn: load(conn, "order_sn", order_sn))

    async def get_by_id(self, id: int) -> Order:
        return await self._db.reader.submit(lambda conn: load(conn, "id", id))

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
            lambda conn: list_orders(conn, where, offset, limit, after, COUNT_CAP, most_items)
        )

    async def history(self, order_sn: str) -> Sequence[Event]:
        sql = f"SELECT {EVENT_COLUMNS} FROM order_event WHERE order_sn = ? ORDER BY version"
        return await self._db.reader.submit(
            lambda conn: [rows.event_of(r) for r in conn.execute(sql, (order_sn,))]
        )

    async def count_unpaid(self, user: int) -> int:
        return await self._db.reader.submit(lambda conn: count_unpaid(conn, user))

    async def due(self, now_ms: int, limit: int, after: Due | None = None) -> Sequence[Due]:
        condition, values = DUE, [now_ms]
        if after:
            condition += " AND (due_ms, id) > (?, ?)"
            values += [after.due_ms, after.id]
        sql = f"SELECT order_sn, due_ms, id FROM order_info WHERE {condition} ORDER BY due_ms, id LIMIT ?"
        return await self._db.scanner.submit(
            lambda conn: [Due(*row) for row in conn.execute(sql, (*values, limit))]
        )

    async def statuses_or_tombstones(
        self, order_sns: Sequence[str], now_ms: int
    ) -> Mapping[str, Standing | Unreadable | None]:
        wanted = sorted(set(order_sns))
        found = await self._db.reader.submit(lambda conn: standings(conn, wanted))
        absent = [sn for sn in wanted if sn not in found]
        if not absent:
            return found  # as nearly always: no writer waits for a check-back
        planted = await self._db.writer.submit(lambda conn: unless_stored(conn, absent, now_ms))
        return {**found, **planted}

    async def key(self, scope: str, key: str, now_ms: int) -> KeyRecord | None:
        return await self.lookups.submit((scope, key, now_ms - KEEP_KEYS_MS))

    async def _find_keys(self, wanted: Sequence[WantedKey]) -> Sequence[KeyRecord | None]:
        return await self._db.reader.submit(lambda conn: find_keys(conn, wanted))

    async def purge_keys(self, now_ms: int) -> int:
        sql = (
            'DELETE FROM idempotency_key WHERE (scope, "key") IN'
            ' (SELECT scope, "key" FROM idempotency_key WHERE created_ms <= ? LIMIT 500)'
        )
        return await self._db.writer.submit(lambda conn: conn.execute(sql, (now_ms - KEEP_KEYS_MS,)).rowcount)

    async def purge_tombstones(self, now_ms: int) -> int:
        return await self._db.writer.submit(lambda conn: purge(conn, now_ms - KEEP_MS))


def take_trade_no(conn: sqlite3.Connection, number: rows.Row) -> None:
    """Keep the provider's number for its payment. Raises TradeNoTaken."""
    conn.execute(INSERT_TRADE_NO, number)
    if held := conn.execute(f"{HELD} {BY_ANOTHER}", number[:4]).fetchone():
        raise TradeNoTaken(held[0])


def standings(conn: sqlite3.Connection, order_sns: Sequence[str]) -> dict[str, Standing | Unreadable]:
    """Where these orders stand, wherever they lie; those that do not exist are left out."""
    found: dict[str, Standing | Unreadable] = {}
    for tables in (LIVE, HISTORY):
        if missing := [sn for sn in order_sns if sn not in found]:
            sql = f"SELECT {STANDING_COLUMNS} FROM {tables.orders} WHERE order_sn IN"
            stored = conn.execute(f"{sql} ({rows.marks(len(missing))})", missing)
            found |= {row[0]: rows.standing_or_why(row) for row in stored}
    return found


def unless_stored(
    conn: sqlite3.Connection, order_sns: Sequence[str], now_ms: int
) -> dict[str, Standing | Unreadable | None]:
    """Take these numbers for tombstones; where those stand that were stored meanwhile. Raises RateLimited."""
    taken = plant(conn, order_sns, now_ms)
    found = standings(conn, taken)
    # A number and its order are stored in one commit: who has only the number was robbed of the order.
    robbed = {sn: Unreadable(sn, "its order was removed") for sn in taken if sn not in found}
    return {sn: found.get(sn) or robbed.get(sn) for sn in order_sns}


def load(conn: sqlite3.Connection, column: str, value: object) -> Order:
    """The whole aggregate, wherever it lies. Raises OrderNotFound."""
    for tables in (LIVE, HISTORY):
        sql = f"SELECT {ORDER_COLUMNS} FROM {tables.orders} WHERE {column} = ?"
        if row := conn.execute(sql, (value,)).fetchone():
            return _whole(conn, row, tables)
    raise OrderNotFound


def _whole(conn: sqlite3.Connection, row: rows.Row, tables: Tables) -> Order:
    sn, version = row[2], row[30]
    sql = f'SELECT {ITEM_COLUMNS} FROM {tables.items} WHERE "order" = ? ORDER BY id'
    items = conn.execute(sql, (row[0],)).fetchall()
    payments: list[rows.Row] = []
    refunds: list[rows.Row] = []
    if version > 1:  # the first event is the order itself: no attempt yet
        sql = f"SELECT {PAYMENT_COLUMNS} FROM {tables.payments} WHERE order_sn = ?"
        payments = conn.execute(sql, (sn,)).fetchall()
        sql = f"SELECT {REFUND_COLUMNS} FROM {tables.refunds} WHERE order_sn = ?"
        refunds = conn.execute(sql, (sn,)).fetchall()
    sql = "SELECT hash FROM order_event WHERE order_sn = ? AND version = ?"
    last = conn.execute(sql, (sn, version)).fetchone()
    return rows.order_of(row, items, payments, refunds, rows.stored_bytes(last[0]) if last else b"")
