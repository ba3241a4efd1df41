"""Feeding the order log: it is told of every event, in each order's order, and catches up by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from shop_order.domain.errors import DependencyDown, OrderNotFound
from shop_order.domain.order_log import (
    COMPLETE,
    DAY_MS,
    Feed,
    FeedEntry,
    LogEntry,
    LogUpdate,
    OrderLog,
    OrderSummary,
    entry_of,
    log_updates,
)
from shop_order.domain.ports import Audit, Clock

PAGE = 64  # rows of the feed, or orders of the walk, in one step: it may hold an order up for a moment only
EVENTS = 128  # told in one call
MOST_SETTLING = 20_000
MOST_ENTRIES = 1000  # of one order
FORGET = 1000  # entries in one step
IDLE_S = 0.5
REST = 9.0  # after a full page: so many times longer than it took, so that orders come first
MOST_REST_S = 1.0
FORGOTTEN_S = 60.0
NEVER_S = float("-inf")


class OrderLogService:
    """One step after another: `run_once`, then `wait`. Done twice, or by two processes, it is no error."""

    def __init__(
        self,
        *,
        feed: Feed,
        log: OrderLog,
        history: Audit,
        alert: Callable[..., None],
        clock: Clock,
        keep_days: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._log = log
        self._history = history
        self._alert = alert
        self._clock = clock
        self._keep_days = keep_days
        self._now_s = monotonic_s
        self._after = 0
        self._settling: dict[int, float] = {}  # event id -> when the log was told
        self._rest_s = IDLE_S
        self.unavailable = False

    async def run_once(self) -> int:
        """One page of the feed, and one of the walk if the log is not whole; how many events left the feed.

        Raises DependencyDown, DeadlineExceeded, Overloaded.
        """
        began_s = self._now_s()
        try:
            walking = await self.backfill_once()
            page = await self._feed.take(self._after, PAGE)
            done = await self._tell(page)
        except DependencyDown:
            self.unavailable = True
            raise
        self.unavailable = False
        full = len(page) == PAGE
        self._after = page[-1].event_id if full else 0
        if not full:
            self._let_settled_go()
        took_s = self._now_s() - began_s
        self._rest_s = min(took_s * REST, MOST_REST_S) if full or walking else IDLE_S
        return done

    async def wait(self) -> None:
        """Until the next step is due: soon while much waits, else after `IDLE_S`."""
        await asyncio.sleep(self._rest_s)

    async def backfill_once(self) -> int:
        """Tell a log that is new, or was lost, of the next orders there are; how many.

        One whose facts were drawn by other rules is counted again. Raises DependencyDown.
        """
        mark = await self._log.backfill()
        if not mark.is_current:
            await self._log.reset_summaries(mark)
            mark = await self._log.backfill()
        if mark.is_complete:
            return 0
        order_sns = await self._history.order_sns(mark.at, PAGE)
        await self._extend(order_sns)
        await self._log.advance_backfill(mark, order_sns[-1] if order_sns else COMPLETE)
        return len(order_sns)

    async def rebuild(self) -> int:
        """Throw the log away and tell it everything again; how many orders. Raises DependencyDown."""
        await self._log.clear()
        told = 0
        while walked := await self.backfill_once():
            told += walked
        return told

    async def entries(self, order_sn: str) -> Sequence[LogEntry]:
        """The order's log, after telling it what it may not know yet; from the history while it is away.

        Raises OrderNotFound.
        """
        try:
            await self._extend([order_sn])
            entries = await self._log.entries(order_sn, MOST_ENTRIES)
        except DependencyDown:
            told = await self._feed.events({order_sn: 0}, MOST_ENTRIES)
            entries = [entry_of(event) for event in told]
        if not entries and not await self._feed.events({order_sn: 0}, 1):
            raise OrderNotFound
        return entries

    async def purge(self) -> int:
        """Delete entries whose time is over, some at a time; how many. Raises DependencyDown."""
        before_ms = self._over_ms()
        return await self._log.purge(before_ms, FORGET) if before_ms else 0

    def _over_ms(self) -> int:
        """The time of entries before this is over; 0 if they are kept for ever."""
        days = self._keep_days()
        return self._clock() - days * DAY_MS if days else 0

    def _kept(self, one: LogUpdate) -> LogUpdate:
        """Without entries whose time is over: a log that is made anew would have to delete them again."""
        before_ms = self._over_ms()
        return replace(one, entries=[entry for entry in one.entries if entry.at_ms >= before_ms])

    async def _tell(self, page: Sequence[FeedEntry]) -> int:
        """Bring the log to the versions of these events, and purge those that it surely has."""
        now_s = self._now_s()
        due = [
            fed
            for fed in page
            if now_s - self._settling.get(fed.event_id, NEVER_S) >= self._log.durable_after_s
        ]
        if not due:
            return 0
        known = await self._log.summaries({fed.order_sn for fed in due})
        stored, told = await self._extend({fed.order_sn for fed in due if not _has(known, fed)}, known)
        done = []
        for fed in due:
            settled = _has(known, fed) and (fed.event_id in self._settling or not self._log.durable_after_s)
            if settled or fed.order_sn in stored or not _has(told, fed):  # the last: there is nothing to tell
                done.append(fed.event_id)
                self._settling.pop(fed.event_id, None)
            elif len(self._settling) < MOST_SETTLING:
                self._settling[fed.event_id] = now_s
        if done:
            await self._feed.done(done)
        return len(done)

    async def _extend(
        self, order_sns: Collection[str], known: Mapping[str, OrderSummary] | None = None
    ) -> tuple[set[str], Mapping[str, OrderSummary]]:
        """Tell the log all that these orders have beyond what it knows.

        The orders that are surely stored, and the facts as they were told.
        """
        stored: set[str] = set()
        numbers = sorted(order_sns)
        facts = dict(await self._log.summaries(numbers) if known is None else known)
        while numbers:
            since = {sn: facts[sn].version if sn in facts else 0 for sn in numbers}
            told = await self._feed.events(since, EVENTS)
            updates, unreadable = log_updates(told, facts)
            if updates:
                stored |= set(await self._log.append([self._kept(one) for one in updates]))
            facts |= {one.summary.order_sn: one.summary for one in updates}
            for event, error in unreadable:
                self._alert(
                    "log_unreadable", order_sn=event.order_sn, version=event.version, error=repr(error)
                )
            if len(told) < EVENTS:
                break
            stuck = {event.order_sn for event, _ in unreadable}
            numbers = [sn for sn in numbers if sn >= told[-1].order_sn and sn not in stuck]
        return stored, facts

    def _let_settled_go(self) -> None:
        """Rows that another process forgot would stay noted here for ever."""
        before_s = self._now_s() - FORGOTTEN_S
        self._settling = {id: told_s for id, told_s in self._settling.items() if told_s > before_s}


def _has(known: Mapping[str, OrderSummary], fed: FeedEntry) -> bool:
    return fed.order_sn in known and known[fed.order_sn].version >= fed.version
