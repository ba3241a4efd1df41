"""Basic statistics (specification 6.4): orders, amount and paid amount by day, channel and status.

They count what the doctor counts: paid is all money that arrived for these orders, also too late or twice;
refunded what went back of it; net what stayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.order_log import Feed, Figures, OrderLog, day_of
from shop_order.domain.ports import Clock, Outbox

K = TypeVar("K", str, int)
MOST_DAYS = 366
USUAL_DAYS = 30


@dataclass(frozen=True, slots=True)
class OrderTotals:
    """Orders and fen."""

    orders: int = 0
    amount_fen: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0

    @property
    def net_fen(self) -> int:
        """What stayed."""
        return self.paid_fen - self.refunded_fen

    def plus(self, one: Figures) -> OrderTotals:
        """With one group more."""
        return OrderTotals(
            self.orders + one.orders,
            self.amount_fen + one.amount_fen,
            self.paid_fen + one.paid_fen,
            self.refunded_fen + one.refunded_fen,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of orders placed from `first_day` to `last_day` (days in China).

    `waiting` events were not counted yet when it was made; `whole` is False while the log is being rebuilt.
    """

    first_day: str
    last_day: str
    total: OrderTotals
    by_day: dict[str, OrderTotals]
    by_channel: dict[str, OrderTotals]
    by_status: dict[int, OrderTotals]
    waiting: int
    whole: bool


class Statistics:
    """Figures out of the order log."""

    def __init__(self, *, log: OrderLog, outbox: Outbox, feed: Feed, clock: Clock) -> None:
        self._log = log
        self._outbox = outbox
        self._feed = feed
        self._clock = clock

    async def report(self, first_day: str = "", last_day: str = "") -> Report:
        """The figures; the last `USUAL_DAYS` days where none are named.

        Raises InvalidArgument (no day, or too many of them), DependencyDown.
        """
        last = parsed("end", last_day or day_of(self._clock()))
        usual = date.fromordinal(max(last.toordinal() - USUAL_DAYS + 1, 1))
        first = parsed("start", first_day) if first_day else usual
        if last < first:
            raise InvalidArgument("end", "too_early", other="start")
        if (last - first).days >= MOST_DAYS:
            raise InvalidArgument("start", "range_too_long", max=MOST_DAYS)
        unpublished, _ = await self._outbox.lag()
        unlogged, _ = await self._feed.lag()
        whole = (await self._log.backfill()).is_complete
        found = await self._log.figures(first.isoformat(), last.isoformat())
        return Report(
            first.isoformat(),
            last.isoformat(),
            summed(found),
            grouped(found, lambda one: one.day),
            grouped(found, lambda one: one.channel),
            grouped(found, lambda one: one.status),
            unpublished + unlogged,
            whole,
        )


def parsed(field: str, text: str) -> date:
    """A day such as 2026-11-23. Raises InvalidArgument."""
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(field, "not_a_date") from error
    if found.isoformat() != text:
        raise InvalidArgument(field, "not_a_date")
    return found


def summed(figures: Iterable[Figures]) -> OrderTotals:
    """All of them together."""
    total = OrderTotals()
    for one in figures:
        total = total.plus(one)
    return total


def grouped(figures: Iterable[Figures], by: Callable[[Figures], K]) -> dict[K, OrderTotals]:
    """Together by what `by` gives, in its order."""
    groups: dict[K, OrderTotals] = {}
    for one in sorted(figures, key=by):
        groups[by(one)] = groups.get(by(one), OrderTotals()).plus(one)
    return groups
