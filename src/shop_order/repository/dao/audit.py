"""The whole history, as the audit reads it, and the signed daily roots over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from shop_order.domain.event.order_events import GENESIS, Event
from shop_order.domain.history_root import Leaf, Root, SealedDay
from shop_order.domain.ports import Fence, RootConflict, StoredOrder
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session, StorePart
from shop_order.repository.dao.leases import require_fence
from shop_order.repository.dao.orders import HISTORY_OF_ORDER
from shop_order.repository.dao.rows import HISTORY, LIVE
from shop_order.repository.dao.stored import read_stored

# Each part has the limit: the outer one would apply only after the union of all numbers.
_PART = "SELECT order_sn FROM (SELECT {} FROM {} WHERE order_sn > ? ORDER BY order_sn LIMIT ?) AS {}"
_NUMBERED = (
    *((table, "order_sn") for table in (LIVE.orders, HISTORY.orders)),
    *((table, "DISTINCT order_sn") for table in (LIVE.payments, HISTORY.payments)),
    *((table, "DISTINCT order_sn") for table in (LIVE.refunds, HISTORY.refunds)),
    ("order_event", "DISTINCT order_sn"),
    ("outbox", "DISTINCT order_sn"),
)
_PARTS = [_PART.format(columns, table, f"of_{table}") for table, columns in _NUMBERED]
ORDER_SNS = f"{' UNION '.join(_PARTS)} ORDER BY order_sn LIMIT ?"
_LOST = 'SELECT i.id FROM {} i LEFT JOIN {} o ON o.id = i."order" WHERE o.id IS NULL LIMIT ?'
_UNCLAIMED = (
    "SELECT p.payment_sn FROM {} p LEFT JOIN trade_no_claim c ON c.trade_no = p.trade_no"
    " AND c.payment_type = p.payment_type AND c.payment_sn = p.payment_sn"
    " WHERE p.paid_ms > 0 AND p.trade_no <> '' AND c.payment_sn IS NULL LIMIT ?"
)
UNCLAIMED = [_UNCLAIMED.format(tables.payments) for tables in (LIVE, HISTORY)]
LOST_ITEMS = [_LOST.format(tables.items, tables.orders) for tables in (LIVE, HISTORY)]


class Audit(StorePart):
    """See `domain.ports.Audit`."""

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        values = (*(after, limit) * len(_PARTS), limit)
        found = await self._db.scanner.all(ORDER_SNS, values)
        return [sn for (sn,) in found]

    async def chain(self, order_sn: str) -> Sequence[Event]:
        found = await self._db.scanner.all(HISTORY_OF_ORDER, (order_sn,))
        return [rows.event_of(row) for row in found]

    async def stored(self, order_sns: Sequence[str]) -> Sequence[StoredOrder]:
        return await self._db.scanner.submit(lambda session: read_stored(session, order_sns))

    async def items_without_order(self, limit: int) -> Sequence[int]:
        return await self._first_column(LOST_ITEMS, limit)

    async def payments_without_claim(self, limit: int) -> Sequence[str]:
        return await self._first_column(UNCLAIMED, limit)

    async def _first_column(self, statements: Sequence[str], limit: int) -> Sequence[Any]:
        async def job(session: Session) -> Sequence[Any]:
            return [value for sql in statements for (value,) in await session.all(sql, (limit,))]

        return await self._db.scanner.submit(job)


_COLUMNS = "day, last_id, events, digest, prev_root, root, key_id, signature, created_ms"
LAST = f"SELECT {_COLUMNS} FROM history_root ORDER BY day DESC LIMIT 1"
PAGE = f"SELECT {_COLUMNS} FROM history_root WHERE day > ? ORDER BY day LIMIT ?"
LEAVES = "SELECT id, order_sn, version, hash FROM order_event WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
ADD = f"INSERT INTO history_root ({_COLUMNS}, fence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
STORED = "SELECT day FROM history_root WHERE day = ? AND signature = ?"


class Roots(StorePart):
    """See `domain.history_root.Roots`."""

    async def last(self) -> Root | None:
        row = await self._db.scanner.first(LAST)
        return root_of(row) if row else None

    async def page(self, after_day: str, limit: int) -> Sequence[Root]:
        rows = await self._db.scanner.all(PAGE, (after_day, limit))
        return [root_of(row) for row in rows]

    async def leaves(self, after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        values = (after_id, upto_id, limit)
        rows = await self._db.scanner.all(LEAVES, values)
        return [Leaf(*row) for row in rows]

    async def add(self, root: Root, fence: Fence) -> None:
        async def job(session: Session) -> None:
            await require_fence(session, fence)
            last = await session.first(LAST)
            day, end = (last[0], last[5]) if last else ("", GENESIS)
            sealed = root.sealed
            if sealed.prev_root != end or sealed.day <= day:
                raise RootConflict(f"the root of {sealed.day} does not follow that of {day or 'nothing'}")
            signed = (root.root, root.key_id, root.signature, root.created_ms)
            await session.run(ADD, (*astuple(sealed), *signed, fence.number))
            session.set_commit_check(STORED, (sealed.day, root.signature))

        await self._db.writer.submit(job)


def root_of(row: Row) -> Root:
    """Return the root of a row."""
    day, last_id, events, digest, prev_root, root, key_id, signature, created_ms = row
    return Root(SealedDay(day, last_id, events, digest, prev_root), root, key_id, signature, created_ms)
