"""Everything stored of an order, row by row, as `doctor` and `audit` compare it with the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import GENESIS
from shop_order.domain.ports import StoredOrder, StoredRow
from shop_order.repository.dao import rows
from shop_order.repository.dao.archive import STORED
from shop_order.repository.dao.engine.base import Row, Session, marks
from shop_order.repository.dao.rows import EVENT, HISTORY, LIVE, Tables

EVENTS = f"SELECT {EVENT.select} FROM order_event WHERE order_sn IN"
OUTBOX = ("event_id", "order_sn", "version", "created_ms", "tries", "not_before_ms")
WAITING = f"SELECT {', '.join(OUTBOX)} FROM outbox WHERE order_sn IN"
ITEM_COLUMNS = len(rows.ITEM_COLUMNS.split(", "))
# Read as the entities read them, so that engines agree; what can't be read stays as it is stored.
_READ: Mapping[str, Callable[[Any], object]] = {
    "created_at": rows.time_ms,
    "updated_at": rows.time_ms,
    "pay_time": rows.time_ms,
    "items": rows.refund_lines,
}
Found = dict[object, list[Row]]  # rows by the order they belong to


async def read_stored(session: Session, order_sns: Sequence[str]) -> Sequence[StoredOrder]:
    """Return what is stored of each of these orders."""
    numbers = list(order_sns)
    sql = f"{EVENTS} ({marks(len(numbers))}) ORDER BY order_sn, version"
    chains = _grouped(await session.all(sql, numbers), EVENT.names.index("order_sn"))
    sql = f"{WAITING} ({marks(len(numbers))}) ORDER BY order_sn, version"
    waiting = _grouped(await session.all(sql, numbers), OUTBOX.index("order_sn"))
    sets = [await _Set.read(session, tables, numbers) for tables in (LIVE, HISTORY)]
    for own, other in (sets, sets[::-1]):
        await own.read_items(session, [*own.ids(), *other.ids()])
    return [_stored(sn, chains.get(sn, ()), waiting.get(sn, ()), *sets) for sn in numbers]


class _Set:
    """The rows of some orders in one of the two sets of tables."""

    def __init__(self, tables: Tables, orders: Found, payments: Found, refunds: Found) -> None:
        self.tables = tables
        self.orders, self.payments, self.refunds = orders, payments, refunds
        self.items: Found = {}

    @classmethod
    async def read(cls, session: Session, tables: Tables, numbers: Sequence[str]) -> _Set:
        def those_of(columns: str, table: str, order_by: str) -> str:
            return (
                f"SELECT {columns} FROM {table} WHERE order_sn IN ({marks(len(numbers))}) ORDER BY {order_by}"
            )

        return cls(
            tables,
            _grouped(await session.all(those_of(STORED.orders, tables.orders, "id"), numbers), 2),
            _grouped(await session.all(those_of(STORED.payments, tables.payments, "created_ms"), numbers), 1),
            _grouped(await session.all(those_of(STORED.refunds, tables.refunds, "created_ms"), numbers), 2),
        )

    async def read_items(self, session: Session, ids: Sequence[object]) -> None:
        if ids:
            sql = f'SELECT {STORED.items} FROM {self.tables.items} WHERE "order" IN'
            sql = f"{sql} ({marks(len(ids))}) ORDER BY id"
            self.items = _grouped(await session.all(sql, ids), 0)

    def ids(self) -> list[object]:
        return [row[0] for found in self.orders.values() for row in found]

    def those_with_rows(self, order_sn: str, id: object) -> list[str]:
        """Return the names of the tables that have rows of this order."""
        tables = self.tables
        found = (
            (tables.orders, self.orders.get(order_sn)),
            (tables.items, self.items.get(id)),
            (tables.payments, self.payments.get(order_sn)),
            (tables.refunds, self.refunds.get(order_sn)),
        )
        return [table for table, its in found if its]


def _stored(
    order_sn: str, chain: Sequence[Row], waiting: Sequence[Row], live: _Set, archived: _Set
) -> StoredOrder:
    own, other = (
        (archived, live) if order_sn in archived.orders and order_sn not in live.orders else (live, archived)
    )
    row = own.orders[order_sn][0] if order_sn in own.orders else ()
    id = row[0] if row else None
    items, payments = own.items.get(id, []), own.payments.get(order_sn, [])
    refunds = own.refunds.get(order_sn, [])
    events = [rows.event_of(event) for event in chain]
    order: Order | UnreadableRow | None = None
    if row:
        last_hash = events[-1].hash if events else GENESIS
        own_items = [item[:ITEM_COLUMNS] for item in items]
        order = rows.or_error(rows.order_of, row, own_items, payments, refunds, last_hash)
    return StoredOrder(
        order_sn,
        events,
        order,
        _values(STORED.orders, row) if row else {},
        [_values(STORED.items, item) for item in items],
        [_values(STORED.payments, payment) for payment in payments],
        [_values(STORED.refunds, refund) for refund in refunds],
        archived=own is archived,
        strays=other.those_with_rows(order_sn, id),
        waiting=[dict(zip(OUTBOX, row, strict=True)) for row in waiting],
    )


_NAMES = {
    columns: columns.replace('"', "").split(", ")
    for columns in (STORED.orders, STORED.items, STORED.payments, STORED.refunds)
}
_READERS = {
    columns: [(name, _READ[name]) for name in names if name in _READ and columns != STORED.items]
    for columns, names in _NAMES.items()
}


def _values(columns: str, row: Row) -> StoredRow:
    values: dict[str, object] = dict(zip(_NAMES[columns], row, strict=True))
    for name, read in _READERS[columns]:
        with suppress(*rows.ALTERED):
            values[name] = read(values[name])
    return values


def _grouped(found: Sequence[Row], by: int) -> Found:
    grouped: Found = {}
    for row in found:
        grouped.setdefault(row[by], []).append(row)
    return grouped
