"""Ports to the history as a whole: outbox, backlog, audit and archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports.orders import Cursor, OrderPage


class Outbox(Protocol):
    """Events still to be published."""

    async def take(self, limit: int, now_ms: int) -> Sequence[Event]:
        """At most `limit` events of the orders that wait longest, in sequence and without gaps per order."""

    async def published(self, event_ids: Iterable[int]) -> None:
        """Remove acknowledged events from the outbox and pass them to the order log's feed."""

    async def refused(self, event_ids: Iterable[int], now_ms: int) -> None:
        """Delay the orders of events that were not acknowledged, longer each time."""

    async def publish_again(self, order_sn: str, type: str, number: str, now_ms: int) -> None:
        """Publish the order's events of this type that name `number` once more, unless they wait already."""

    async def orders_waiting(self) -> set[str]:
        """Numbers of the orders with unpublished events."""

    async def lag(self) -> tuple[int, int]:
        """The number of unpublished events, and the time of the oldest (epoch ms, 0 if none)."""


@dataclass(frozen=True, slots=True)
class OverdueWork:
    """Overdue items: their number, and since when the oldest is overdue (epoch ms, 0 if none).

    `what` is `order` (past its due time), `payment` (past its time, with an unknown result), `refund` (to be
    sent or asked about by now; one that its provider does not answer for is an alert) or `refund_decision`
    (requested, not decided).
    """

    what: str
    count: int
    since_ms: int


class Backlog(Protocol):
    """Overdue work, for operators."""

    async def overdue(self, now_ms: int) -> Sequence[OverdueWork]:
        """One result per kind, also if nothing is overdue."""


StoredRow = Mapping[str, object]  # values by column; times of an order in epoch ms


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """Everything stored under an order's number, in one snapshot.

    `order` is made of the rows; None if it has no row of its own, an error if they can't be read.
    `archived`: the rows are in the history tables. `strays` name the tables of the other set that have rows
    of it too. `waiting` are its rows of the outbox.
    """

    order_sn: str
    chain: Sequence[Event]
    order: Order | UnreadableRow | None
    row: StoredRow
    items: Sequence[StoredRow] = ()
    payments: Sequence[StoredRow] = ()
    refunds: Sequence[StoredRow] = ()
    archived: bool = False
    strays: Sequence[str] = ()
    waiting: Sequence[StoredRow] = ()


class Audit(Protocol):
    """Reads the whole history, for `audit` and `doctor`."""

    async def order_sns(self, after: str, limit: int) -> Sequence[str]:
        """Numbers with a row of an order, payment, refund or the outbox, or with an event, sorted."""

    async def chain(self, order_sn: str) -> Sequence[Event]:
        """The events of one order, by version."""

    async def stored(self, order_sns: Sequence[str]) -> Sequence[StoredOrder]:
        """What is stored of each of these, in this sequence."""

    async def items_without_order(self, limit: int) -> Sequence[int]:
        """Ids of items whose order is not in the same set of tables."""

    async def payments_without_claim(self, limit: int) -> Sequence[str]:
        """Numbers of paid attempts whose trade number another payment could use again."""


class Archive(Protocol):
    """The history tables, which hold settled orders; they can still be found by number."""

    async def oldest(self, before_ms: int, after: Cursor | None, limit: int) -> OrderPage:
        """Orders placed before then that are not archived, oldest first; `total` counts the page only."""

    async def move(self, versions: Mapping[str, int]) -> int:
        """Archive the orders that are still at these versions, in one commit; return how many.

        Orders with attempts still to be queried are not archived. A later change restores an order.
        """
