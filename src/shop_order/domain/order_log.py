"""The order log (specification 6.4) and the statistics derived from it; `repository/oplog` stores both."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from shop_order.domain.event import order_events as events
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import PaymentType

COMPLETE = "whole"  # the position of a backfill that has covered every order
SUMMARY_RULES = "3"  # how events become summaries; those made by other rules are recomputed
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
    """The log's name of an event; events that do not change the order's status keep their type."""
    return _ACTIONS.get(event_type, event_type)


def day_of(ms: int) -> str:
    """The date in China at this time, such as 2026-11-23."""
    return _day((ms + _CHINA_MS) // DAY_MS)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return (_EPOCH + number * _DAY).isoformat()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One document of `order_logs`: an action on an order; `id` is the event's."""

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
    """What the statistics need of one order, as of `version`; amounts in fen, `day` is when it was placed.

    `channel` is the last one chosen, or empty. `paid_fen` is all money received, including late and duplicate
    payments; `refunded_fen` is what was refunded of it. Both equal the sums over the order's payments.
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
    """The entries of one order after version `since`, and its summary after the last of them."""

    since: int
    entries: Sequence[LogEntry]
    summary: OrderSummary


@dataclass(frozen=True, slots=True)
class Figures:
    """Totals of the orders of one day, channel and status, in fen."""

    day: str
    channel: str
    status: int
    orders: int
    amount_fen: int
    paid_fen: int
    refunded_fen: int


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An event that the log may not have yet, as listed in the feed."""

    event_id: int
    order_sn: str
    version: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """The progress of a backfill, which feeds the log every order: `position` is the last order's number,
    COMPLETE, or empty at the start.

    Each `clear` and `reset_summaries` starts a new `run`, so that a process in the middle of an earlier run
    can't advance it. The run's name begins with the version of the rules for summaries.
    """

    run: str = ""
    position: str = ""

    @property
    def is_current(self) -> bool:
        """Whether summaries follow the rules of this version."""
        return self.run.startswith(f"{SUMMARY_RULES}-")

    @property
    def is_complete(self) -> bool:
        """Whether the log has every order, by the rules of this version."""
        return self.is_current and self.position == COMPLETE


def new_backfill_id() -> str:
    """A new name of a run."""
    return f"{SUMMARY_RULES}-{secrets.token_hex(8)}"


def entry_of(event: Event) -> LogEntry:
    """The log entry of an event. Raises ValueError, KeyError for an altered payload."""
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


def apply_event(summary: OrderSummary, event_type: str, entry: LogEntry) -> OrderSummary:
    """The summary after one more entry. Raises ValueError, KeyError for altered details."""
    details = entry.details
    changed: dict[str, Any] = {}
    match event_type:
        case events.ORDER_CREATED:
            changed = {"day": day_of(entry.at_ms), "pay_fen": _integer(details["pay_fen"])}
            if chosen := details.get("payment_type"):
                changed["channel"] = channel_of(chosen)
        case events.PAYMENT_OPENED if not summary.payment_sn:
            changed = {"channel": channel_of(details["payment_type"])}
        case events.ORDER_PAID:
            changed = {
                "channel": channel_of(details["payment_type"]),
                "payment_sn": str(details["payment_sn"]),
                "paid_fen": summary.paid_fen + _integer(details["pay_fen"]),
            }
        case events.REFUND_REQUESTED if entry.reason in events.SURPLUS:  # the only event of such money
            changed = {"paid_fen": summary.paid_fen + _integer(details["amount_fen"])}
        case events.REFUND_SUCCEEDED | events.REFUND_SETTLED:
            changed = {"refunded_fen": summary.refunded_fen + _integer(details["amount_fen"])}
    return replace(summary, version=entry.version, user_id=entry.user_id, status=entry.new_status, **changed)


def channel_of(payment_type: object) -> str:
    """The code in column `pay_type`. Raises ValueError."""
    return PaymentType(_integer(payment_type)).code


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError("not an integer")
    return value


def log_updates(
    chain: Sequence[Event], known: Mapping[str, OrderSummary]
) -> tuple[list[LogUpdate], list[tuple[Event, Exception]]]:
    """Group events by order; also return unreadable events, before which the update of their order ends."""
    entries: dict[str, list[LogEntry]] = {}
    summaries: dict[str, OrderSummary] = {}
    unreadable: dict[str, tuple[Event, Exception]] = {}
    for event in chain:
        sn = event.order_sn
        if sn in unreadable:
            continue
        now = summaries.get(sn) or known.get(sn) or OrderSummary(sn)
        try:
            entry = entry_of(event)
            summaries[sn] = apply_event(now, event.type, entry)
        except (ValueError, KeyError, TypeError, AttributeError) as altered:
            unreadable[sn] = (event, altered)
            continue
        entries.setdefault(sn, []).append(entry)
    found = [LogUpdate(_since(known, sn), own, summaries[sn]) for sn, own in entries.items()]
    return found, list(unreadable.values())


def _since(known: Mapping[str, OrderSummary], order_sn: str) -> int:
    return known[order_sn].version if order_sn in known else 0
