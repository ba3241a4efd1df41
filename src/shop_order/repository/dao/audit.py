"""The whole history, as the audit reads it, and the signed daily roots over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import GENESIS, Event
from shop_order.domain.history_root import Leaf, Root, SealedDay
from shop_order.domain.ports import Fence, RootConflict
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Row, Session, StorePart
from shop_order.repository.dao.leases import require_fence
from shop_order.repository.dao.loading import load
from shop_order.repository.dao.orders import HISTORY_OF_ORDER

# Each part has the limit: the outer one would apply only after the union of all numbers.
_PART = "SELECT order_sn FROM (SELECT {} FROM {} WHERE order_sn > ? ORDER BY order_sn LIMIT ?) AS {}"
ORDER_SNS = (
    f"{_PART.format('order_sn', 'order_info', 'live')} UNION"
    f" {_PART.format('order_sn', 'order_info_history', 'archived')} UNION"
    f" {_PART.format('DISTINCT order_sn', 'order_event', 'recorded')} ORDER BY order_sn LIMIT ?"
)


class Audit(StorePart):
    """See `domain.ports.Audit`."""

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        values = (after, limit, after, limit, after, limit, limit)
        found = await self._db.scanner.all(ORDER_SNS, values)
        return [sn for (sn,) in found]

    async def chain(self, order_sn: str) -> Sequence[Event]:
        found = await self._db.scanner.all(HISTORY_OF_ORDER, (order_sn,))
        return [rows.event_of(row) for row in found]

    async def order(self, order_sn: str) -> Order | None:
        async def job(session: Session) -> Order | None:
            try:
                return await load(session, ("order_sn", order_sn))
            except OrderNotFound:
                return None

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
