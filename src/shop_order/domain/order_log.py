"""The order log (specification 6.4) and the figures drawn from it; `repository/oplog` stores both."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Protocol

from shop_order.domain.event import order_events as events
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import PaymentType

COMPLETE = "whole"  # the mark of a log that was told of every order there is
RULES = "2"  # how facts are drawn from events; facts that were drawn by others are thrown away
DAY_MS = 86_400_000
_CHINA_MS = 8 * 3_600_000
_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)
_ACTIONS: Mapping[str, str] = {
    events.ORDER_CREATED: "create",
    events.ORDER_PAID: "pay",
    events.ORDER_SHIPPED: "ship",
    events.ORDER_COMPLETED: "complete",
    events.ORDER_CANCELLED: "cancel",
}
_COLUMNS = ("version", "user_id", "old_status", "new_status", "operator", "operator_id", "reason")


def action_of(event_type: str) -> str:
    """The order log's word for an event; what is not about the order keeps its type."""
    return _ACTIONS.get(event_type, event_type)


def day_of(ms: int) -> str:
    """The day in China, such as 2026-11-23."""
    return _day((ms + _CHINA_MS) // DAY_MS)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return (_EPOCH + number * _DAY).isoformat()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One document of `order_logs`: what was done to an order; `id` is the event's."""

    id: int
    order_sn: str
    version: int
    user_id: int
    action: str
    old_status: int
    new_status: int
    operator: str
    operator_id: int
    reason: str
    at_ms: int
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """What the figures need of one order, as of `version`; amounts in fen, `day` is when it was placed.

    `channel` is the last chosen one, empty if none was. `paid_fen` is all money that arrived, also too late
    or twice, `refunded_fen` what went back of all that: the same as an order's payments say.
    """

    order_sn: str
    version: int = 0
    user_id: int = 0
    day: str = ""
    status: int = 0
    channel: str = ""
    payment_sn: str = ""
    pay_fen: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0


@dataclass(frozen=True, slots=True)
class LogUpdate:
    """How one order went on: the entries after version `since`, and the facts after the last of them."""

    since: int
    entries: Sequence[LogEntry]
    summary: OrderSummary


@dataclass(frozen=True, slots=True)
class Figures:
    """Orders of one day, channel and status, in fen."""

    day: str
    channel: str
    status: int
    orders: int
    amount_fen: int
    paid_fen: int
    refunded_fen: int


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An event that the log may not have yet."""

    event_id: int
    order_sn: str
    version: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """How far a walk over all orders came: `at` is a number, COMPLETE, or empty at its beginning.

    `walk` is another after each `clear` and `reset_summaries`, so that who was in the middle of an earlier walk moves
    nothing; it tells by which rules facts are drawn.
    """

    walk: str = ""
    at: str = ""

    @property
    def is_current(self) -> bool:
        """The facts are drawn by the rules of this version."""
        return self.walk.startswith(f"{RULES}-")

    @property
    def is_complete(self) -> bool:
        """Every order there is was told, by the rules of this version."""
        return self.is_current and self.at == COMPLETE


class Feed(Protocol):
    """The events on their way to the log, kept in the order database."""

    async def take(self, after: int, limit: int) -> Sequence[FeedEntry]:
        """The next events above this id."""

    async def events(self, since: Mapping[str, int], limit: int) -> Sequence[Event]:
        """At most so many events of these orders above their versions, in order of number and version."""

    async def done(self, event_ids: Collection[int]) -> None:
        """The log has them for good: purge them."""

    async def lag(self) -> tuple[int, int]:
        """How many events wait, and since when the oldest (epoch ms, 0 if none)."""


class OrderLog(Protocol):
    """The log and the facts of every order; each method raises DependencyDown while it is away."""

    durable_after_s: float  # so long what was stored may still be lost with the server

    async def summaries(self, order_sns: Collection[str]) -> Mapping[str, OrderSummary]:
        """The facts of those that are known."""

    async def append(self, updates: Sequence[LogUpdate]) -> Collection[str]:
        """Store entries, once by event id, then the facts, if they still are at `since`.

        The numbers of orders that are surely stored; the others must be asked for again.
        """

    async def entries(self, order_sn: str, limit: int) -> Sequence[LogEntry]:
        """The entries of one order in order of version."""

    async def figures(self, first_day: str, last_day: str) -> Sequence[Figures]:
        """Orders placed from the first to the last day, grouped by day, channel and status."""

    async def backfill(self) -> Backfill:
        """How far the walk over all orders came; `Backfill()` of a new (or lost) log."""

    async def advance_backfill(self, since: Backfill, at: str) -> None:
        """The walk came so far, if the mark still is where it was read; else nothing happens."""

    async def purge(self, before_ms: int, limit: int) -> int:
        """Delete entries, not facts, that are older; at most so many; how many."""

    async def reset_summaries(self, since: Backfill) -> None:
        """Delete the facts, not the entries, and begin a new walk, if the mark still is where it was read."""

    async def clear(self) -> None:
        """Delete everything, and begin a new walk."""


def new_backfill_id() -> str:
    """The name of a walk over all orders."""
    return f"{RULES}-{secrets.token_hex(8)}"


def entry_of(event: Event) -> LogEntry:
    """The entry that tells of an event. Raises ValueError, KeyError for a payload somebody altered."""
    data = json.loads(event.payload.decode())
    return LogEntry(
        id=event.id,
        order_sn=event.order_sn,
        version=event.version,
        user_id=data["user_id"],
        action=action_of(event.type),
        old_status=data["old_status"],
        new_status=data["new_status"],
        operator=data["operator"],
        operator_id=data["operator_id"],
        reason=data["reason"],
        at_ms=event.created_ms,
        details={name: value for name, value in data.items() if name not in _COLUMNS},
    )


def apply_event(facts: OrderSummary, event_type: str, entry: LogEntry) -> OrderSummary:
    """The facts after one more entry. Raises ValueError, KeyError for details somebody altered."""
    told = entry.details
    changed: dict[str, Any] = {}
    match event_type:
        case events.ORDER_CREATED:
            changed = {"day": day_of(entry.at_ms), "pay_fen": _whole(told["pay_fen"])}
            if chosen := told.get("payment_type"):
                changed["channel"] = channel_of(chosen)
        case events.PAYMENT_OPENED if not facts.payment_sn:
            changed = {"channel": channel_of(told["payment_type"])}
        case events.ORDER_PAID:
            changed = {
                "channel": channel_of(told["payment_type"]),
                "payment_sn": str(told["payment_sn"]),
                "paid_fen": facts.paid_fen + _whole(told["pay_fen"]),
            }
        case events.REFUND_REQUESTED if entry.reason in events.SURPLUS:  # so it is told that it came
            changed = {"paid_fen": facts.paid_fen + _whole(told["amount_fen"])}
        case events.REFUND_SUCCEEDED:
            changed = {"refunded_fen": facts.refunded_fen + _whole(told["amount_fen"])}
    return replace(facts, version=entry.version, user_id=entry.user_id, status=entry.new_status, **changed)


def channel_of(payment_type: object) -> str:
    """The word of column `pay_type`. Raises ValueError."""
    return PaymentType(_whole(payment_type)).code


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError("not a whole number")
    return value


def log_updates(
    told: Sequence[Event], known: Mapping[str, OrderSummary]
) -> tuple[list[LogUpdate], list[tuple[Event, Exception]]]:
    """Each order's events as a chapter, and the events that can't be read: their orders end before them."""
    entries: dict[str, list[LogEntry]] = {}
    facts: dict[str, OrderSummary] = {}
    unreadable: dict[str, tuple[Event, Exception]] = {}
    for event in told:
        sn = event.order_sn
        if sn in unreadable:
            continue
        now = facts.get(sn) or known.get(sn) or OrderSummary(sn)
        try:
            entry = entry_of(event)
            facts[sn] = apply_event(now, event.type, entry)
        except (ValueError, KeyError, TypeError, AttributeError) as altered:
            unreadable[sn] = (event, altered)
            continue
        entries.setdefault(sn, []).append(entry)
    found = [LogUpdate(_since(known, sn), own, facts[sn]) for sn, own in entries.items()]
    return found, list(unreadable.values())


def _since(known: Mapping[str, OrderSummary], order_sn: str) -> int:
    return known[order_sn].version if order_sn in known else 0
