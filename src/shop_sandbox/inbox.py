"""The event inbox: an idempotent consumer of the order service's events.

An event is accepted only once all its effects are committed. While one fails, later events of the same order
wait for it. After MAX_ATTEMPTS deliveries a failing event (for example a paid order without a lease) is moved
to `dead_letter`, shown at /admin/dead-letters, and accepted, so that the order's later events go on: a stock
figure to correct by hand is better than a buyer who is never told about the parcel.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import events
from shop_sandbox.database import Database
from shop_sandbox.events import Event
from shop_sandbox.inventory import Inventory

if TYPE_CHECKING:
    from shop_order.api.client.tracing import Tracing

MAX_BATCH = 500
MAX_COMMANDS = 256
MAX_ATTEMPTS = 4  # with a broker, other orders of the queue wait this long: 7 s
MAX_PAGE = 1_000

TABLES = {
    "notifications": (
        "order_notification",
        "event_id, order_sn, user_id, text, created_ms",
        "created_ms DESC",
    ),
    "sales": ("sales", "goods_id, orders, nums, amount_fen", "amount_fen DESC"),
    "consumption": ("consumption_record", "order_sn, user_id, pay_fen, completed_ms", "completed_ms DESC"),
    "dead-letters": ("dead_letter", "event_id, order_sn, type, why, created_ms", "created_ms DESC"),
    "orders": ("order_copy", "order_sn, version, status, user_id", "order_sn DESC"),
}

logger = logging.getLogger("shop_sandbox.inbox")


@dataclass(slots=True)
class _Delivery:
    """The state of one Deliver call: accepted ids, and orders blocked by a failed event."""

    accepted: list[str] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)


class EventInbox:
    """`shop.neighbours.EventInbox`; with a broker there are two, one for `stock` and one for `lists`."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        clock_ms: Callable[[], int],
        *,
        stock: bool = True,
        lists: bool = True,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._tracing = tracing
        self._database = database
        self._inventory = inventory
        self._clock_ms = clock_ms
        self._stock = stock
        self._record = events.record if lists else events.mark_received
        self.dead_letters = 0

    async def deliver(self, batch: pb.EventBatch) -> pb.DeliverResult:
        """Process events, each order's in sequence; returns the accepted ids. Raises ValueError above 500."""
        if len(batch.cloud_events) > MAX_BATCH:
            raise ValueError(f"at most {MAX_BATCH} events")
        delivery = _Delivery()
        parsed = await self._parse(batch.cloud_events, delivery)
        ids = [event.id for event in parsed]
        done = await self._database.run(lambda connection: events.received_ids(connection, ids))
        new = [event for event in parsed if event.id not in done]
        with self._traced(new, delivery):
            for step in _steps(new):
                await self._process(step, delivery)
        return pb.DeliverResult(accepted_ids=[*delivery.accepted, *(one for one in ids if one in done)])

    async def rows(self, table: str, limit: int = 100) -> list[dict[str, object]]:
        """The newest rows of one of TABLES, for the operator's pages. Raises KeyError."""
        name, columns, order = TABLES[table]
        select = f"SELECT {columns} FROM {name} ORDER BY {order} LIMIT ?"
        names = columns.split(", ")

        def read(connection: sqlite3.Connection) -> list[dict[str, object]]:
            rows = connection.execute(select, (min(limit, MAX_PAGE),)).fetchall()
            return [dict(zip(names, row, strict=True)) for row in rows]

        return await self._database.run(read)

    @contextmanager
    def _traced(self, new: Sequence[Event], delivery: _Delivery) -> Iterator[None]:
        """With tracing, a span for each event in the trace of the request that caused it."""
        if self._tracing is None:
            yield
            return
        spans = []
        for event in new:
            attributes = {
                "messaging.operation.type": "process",
                "messaging.message.id": event.id,
                "shop.order_sn": event.order_sn,
                "shop.request_id": event.request_id,
            }
            spans.append(
                (event.id, self._tracing.consumer(f"process {event.type}", event.traceparent, attributes))
            )
        try:
            yield
        finally:
            for event_id, span in spans:
                if event_id not in delivery.accepted:
                    span.failed("not accepted")
                span.end()

    async def _parse(self, bodies: Iterable[bytes], delivery: _Delivery) -> list[Event]:
        parsed = []
        for body in bodies:
            try:
                parsed.append(events.parse(body))
            except events.BadEvent as error:
                event_id = events.event_id(body)
                if not event_id:
                    logger.error("cannot accept an event without an id: %s", error)
                    continue
                await self._refuse((event_id, "", "", str(error), body.decode(errors="replace")), delivery)
        return parsed

    async def _process(self, step: Sequence[Event], delivery: _Delivery) -> None:
        active = [event for event in step if event.order_sn not in delivery.blocked]
        problems = await self._command_stock(active) if self._stock else {}
        recorded = []
        for event in active:
            if event.order_sn in delivery.blocked:
                continue
            if event.id not in problems:
                recorded.append(event)
                continue
            letter = (
                event.id,
                event.order_sn,
                event.type,
                problems[event.id],
                event.body.decode(errors="replace"),
            )
            if not await self._refuse(letter, delivery):
                delivery.blocked.add(event.order_sn)
        now_ms = self._clock_ms()

        def record(connection: sqlite3.Connection) -> None:
            for event in recorded:
                self._record(connection, event, now_ms)

        await self._database.run(record)
        delivery.accepted.extend(event.id for event in recorded)

    async def _command_stock(self, step: Sequence[Event]) -> dict[str, str]:
        """Confirm, release and return the stock of the step's orders; returns the failures by event id."""
        paid = [event for event in step if event.type == "order.paid"]
        # A cancelled paid order is left out: its stock is returned under the refund's number.
        cancelled = [event for event in step if event.type == "order.cancelled" and event.old_status <= 1]
        returned = [event for event in step if event.restocks]
        problems: dict[str, str] = {}
        for ordered, command in (
            (paid, self._confirm),
            (cancelled, self._release),
            (returned, self._return),
        ):
            for start in range(0, len(ordered), MAX_COMMANDS):
                part = ordered[start : start + MAX_COMMANDS]
                results = await command(part)
                for event, result in zip(part, results.results, strict=True):
                    if not result.ok:
                        problems[event.id] = f"inventory answered {result.reason}"
        return problems

    async def _confirm(self, part: Sequence[Event]) -> pb.Results:
        return await self._inventory.confirm(pb.OrderSns(order_sns=[event.order_sn for event in part]))

    async def _release(self, part: Sequence[Event]) -> pb.Results:
        return await self._inventory.release(pb.OrderSns(order_sns=[event.order_sn for event in part]))

    async def _return(self, part: Sequence[Event]) -> pb.Results:
        requests = [
            pb.ReturnRequest(
                return_sn=event.data["refund_sn"],
                order_sn=event.order_sn,
                lines=[pb.Line(goods_id=line["goods_id"], nums=line["nums"]) for line in event.data["lines"]],
            )
            for event in part
        ]
        return await self._inventory.return_stock(pb.ReturnRequests(requests=requests))

    async def _refuse(self, letter: tuple[str, str, str, str, str], delivery: _Delivery) -> bool:
        """Count a failed attempt; True if it was the last and the event became a dead letter."""
        event_id, order_sn, kind, why, _ = letter
        now_ms = self._clock_ms()

        def count(connection: sqlite3.Connection) -> int:
            attempts = events.count_failure(connection, event_id)
            if attempts >= MAX_ATTEMPTS:
                events.store_dead_letter(connection, letter, now_ms)
            return attempts

        attempts = await self._database.run(count)
        logger.error("event %s (%s of %s) failed, attempt %d: %s", event_id, kind, order_sn, attempts, why)
        if attempts < MAX_ATTEMPTS:
            return False
        self.dead_letters += 1
        delivery.accepted.append(event_id)
        return True


def _steps(ordered: Iterable[Event]) -> Iterable[list[Event]]:
    """Split events so that no step has two stock commands for one order, which must keep their sequence."""
    step: list[Event] = []
    commanded: set[str] = set()
    for event in ordered:
        if event.type in ("order.paid", "order.cancelled") or event.restocks:
            if event.order_sn in commanded:
                yield step
                step, commanded = [], set()
            commanded.add(event.order_sn)
        step.append(event)
    if step:
        yield step
