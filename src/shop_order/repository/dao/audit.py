"""Reading the whole history."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import Event
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Database, Session
from shop_order.repository.dao.loading import load
from shop_order.repository.dao.orders import HISTORY_OF_ORDER

# Each part ends at the limit: the union of all numbers would be made before the outer one.
_PART = "SELECT order_sn FROM (SELECT {} FROM {} WHERE order_sn > ? ORDER BY order_sn LIMIT ?) AS {}"
ORDER_SNS = (
    f"{_PART.format('order_sn', 'order_info', 'live')} UNION"
    f" {_PART.format('order_sn', 'order_info_history', 'archived')} UNION"
    f" {_PART.format('DISTINCT order_sn', 'order_event', 'told')} ORDER BY order_sn LIMIT ?"
)


class Audit:
    """See `domain.ports.Audit`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        values = (after, limit, after, limit, after, limit, limit)
        found = await self._db.scanner.submit(lambda session: session.all(ORDER_SNS, values))
        return [sn for (sn,) in found]

    async def chain(self, order_sn: str) -> Sequence[Event]:
        found = await self._db.scanner.submit(lambda session: session.all(HISTORY_OF_ORDER, (order_sn,)))
        return [rows.event_of(row) for row in found]

    async def order(self, order_sn: str) -> Order | None:
        async def job(session: Session) -> Order | None:
            try:
                return await load(session, ("order_sn", order_sn))
            except OrderNotFound:
                return None

        return await self._db.scanner.submit(job)
