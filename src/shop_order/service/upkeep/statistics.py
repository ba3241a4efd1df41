"""Basic statistics (specification 6.4): orders and amounts by day, channel and status.

As in the doctor's report, paid is all money received for these orders, including late and duplicate payments;
refunded is what was refunded of it; net is the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.order_log import Figures, day_of
from shop_order.domain.ports import Clock, Feed, OrderLog, Outbox

K = TypeVar("K", str, int)
MAX_DAYS = 366
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class OrderTotals:
    """A number of orders and their amounts in fen."""

    orders: int = 0
    amount_fen: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0

    @property
    def net_fen(self) -> int:
        """Paid minus refunded."""
        return self.paid_fen - self.refunded_fen

    def plus(self, one: Figures) -> OrderTotals:
        """These totals plus one group."""
        return OrderTotals(
            self.orders + one.orders,
            self.amount_fen + one.amount_fen,
            self.paid_fen + one.paid_fen,
            self.refunded_fen + one.refunded_fen,
        )


@dataclass(frozen=True, slots=True)
class StatisticsReport:
    """The figures of orders placed from `first_day` to `last_day` (days in China).

    `waiting` events are not included yet; `is_complete` is False while the log is being backfilled.
    """

    first_day: str
    last_day: str
    total: OrderTotals
    by_day: dict[str, OrderTotals]
    by_channel: dict[str, OrderTotals]
    by_status: dict[int, OrderTotals]
    waiting: int
    is_complete: bool


@dataclass(kw_only=True, eq=False)
class Statistics:
    """Statistics from the order log."""

    log: OrderLog
    outbox: Outbox
    feed: Feed
    clock: Clock

    async def report(self, first_day: str = "", last_day: str = "") -> StatisticsReport:
        """The figures of these days, by default of the last `DEFAULT_DAYS`.

        Raises InvalidArgument (not a day, or too many days), DependencyDown.
        """
        today = date.fromisoformat(day_of(self.clock()))
        first, last = day_span(first_day, last_day, today)
        unpublished, _ = await self.outbox.lag()
        unlogged, _ = await self.feed.lag()
        is_complete = (await self.log.backfill()).is_complete
        found = await self.log.figures(first.isoformat(), last.isoformat())
        return StatisticsReport(
            first.isoformat(),
            last.isoformat(),
            total_of(found),
            totals_by(found, lambda one: one.day),
            totals_by(found, lambda one: one.channel),
            totals_by(found, lambda one: one.status),
            unpublished + unlogged,
            is_complete,
        )


def day_span(first_day: str, last_day: str, default_last: date) -> tuple[date, date]:
    """The first and the last day of a report; by default it has `DEFAULT_DAYS`.

    Raises InvalidArgument (not a day, or too many days).
    """
    last = parse_day("end", last_day) if last_day else default_last
    default = date.fromordinal(max(last.toordinal() - DEFAULT_DAYS + 1, 1))
    first = parse_day("start", first_day) if first_day else default
    if last < first:
        raise InvalidArgument("end", "too_early", other="start")
    if (last - first).days >= MAX_DAYS:
        raise InvalidArgument("start", "range_too_long", max=MAX_DAYS)
    return first, last


def parse_day(field: str, text: str) -> date:
    """Parse a day in the form YYYY-MM-DD. Raises InvalidArgument."""
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(field, "not_a_date") from error
    if found.isoformat() != text:
        raise InvalidArgument(field, "not_a_date")
    return found


def total_of(figures: Iterable[Figures]) -> OrderTotals:
    """The sum of all groups."""
    total = OrderTotals()
    for one in figures:
        total = total.plus(one)
    return total


def totals_by(figures: Iterable[Figures], by: Callable[[Figures], K]) -> dict[K, OrderTotals]:
    """Totals by the key `by`, in order of the key."""
    groups: dict[K, OrderTotals] = {}
    for one in sorted(figures, key=by):
        groups[by(one)] = groups.get(by(one), OrderTotals()).plus(one)
    return groups
