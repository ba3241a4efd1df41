"""What is read of the whole history, or made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.entity.order import Order
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports.orders import Cursor, OrderPage


class Outbox(Protocol):
    """What is still to be published."""

    async def take(self, limit: int, now_ms: int) -> Sequence[Event]:
        """At most `limit` events of the longest waiting orders, in order of version without a gap."""

    async def published(self, event_ids: Iterable[int]) -> None:
        """They were acknowledged: hand them over to the order log's feed, and forget them."""

    async def refused(self, event_ids: Iterable[int], now_ms: int) -> None:
        """They were not acknowledged: hold their orders back for a while, longer each time."""

    async def orders_waiting(self) -> set[str]:
        """Numbers of the orders that have events waiting."""

    async def lag(self) -> tuple[int, int]:
        """How many events wait, and since when the oldest (epoch ms, 0 if none)."""


@dataclass(frozen=True, slots=True)
class OverdueWork:
    """Overdue items: their number, and since when the oldest is overdue (epoch ms, 0 if none).

    `what` is `order` (past its due time), `payment` (past its time, with an unknown result) or `refund`
    (approved, not known to have succeeded).
    """

    what: str
    count: int
    since_ms: int


class Backlog(Protocol):
    """What operators watch."""

    async def behind(self, now_ms: int) -> Sequence[OverdueWork]:
        """One result per kind, also if nothing is overdue."""


class Audit(Protocol):
    """Reading the whole history, for verification and the doctor."""

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        """Numbers of all orders that have a row or an event, in order."""

    async def chain(self, order_sn: str) -> Sequence[Event]:
        """The events of one order in order of version."""

    async def order(self, order_sn: str) -> Order | None:
        """The order as its row says, None if only events are left."""


class Archive(Protocol):
    """The history tables, for orders nobody has anything left to do with. They are found there by number."""

    async def oldest(self, before_ms: int, after: Cursor | None, limit: int) -> OrderPage:
        """Orders placed before then that are not archived, oldest first; `total` is of the page alone."""

    async def move(self, versions: Mapping[str, int]) -> int:
        """Archive those of these orders that still are at these versions, in one commit; how many.

        Those stay about whose attempts a provider is still to be asked. A later change of an archived order
        brings it back.
        """
