"""Feed the order log with every event, and backfill a log that is new or was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shop_order.domain.errors import DependencyDown, OrderNotFound
from shop_order.domain.order_log import (
    COMPLETE,
    DAY_MS,
    FeedEntry,
    LogEntry,
    LogUpdate,
    OrderSummary,
    entry_of,
    log_updates,
)
from shop_order.domain.ports import Audit, Clock, Feed, OrderLog
from shop_order.service.alerts import Alert

PAGE = 64  # feed entries, or orders of the backfill, in one step: a step may delay orders only briefly
EVENTS = 128  # in one call of the log
MAX_UNCONFIRMED = 20_000
MAX_ENTRIES = 1000  # of one order
PURGE = 1000  # entries in one step
IDLE_S = 0.5
PAUSE_FACTOR = 9.0  # the pause after a full page, as a multiple of its duration: orders come first
MAX_PAUSE_S = 1.0
UNCONFIRMED_S = 60.0
NEVER_S = float("-inf")


@dataclass(kw_only=True, eq=False)
class OrderLogService:
    """Call `run_once`, then `wait`, in a loop. Idempotent, also across processes."""

    feed: Feed
    log: OrderLog
    history: Audit
    alert: Alert
    clock: Clock
    keep_days: Callable[[], int]  # 0 keeps entries forever
    monotonic_s: Callable[[], float] = time.monotonic
    _after: int = field(default=0, init=False)
    # By event id: when it was written.
    _unconfirmed: dict[int, float] = field(default_factory=dict, init=False)
    _pause_s: float = field(default=IDLE_S, init=False)
    unavailable: bool = field(default=False, init=False)

    async def run_once(self) -> int:
        """Process a page of the feed, and of an incomplete backfill. Return how many entries left the feed.

        Raises DependencyDown, DeadlineExceeded, Overloaded.
        """
        began_s = self.monotonic_s()
        try:
            backfilled = await self.backfill_once()
            page = await self.feed.take(self._after, PAGE)
            done = await self._process(page)
        except DependencyDown:
            self.unavailable = True
            raise
        self.unavailable = False
        full = len(page) == PAGE
        self._after = page[-1].event_id if full else 0
        if not full:
            self._drop_old_unconfirmed()
        took_s = self.monotonic_s() - began_s
        self._pause_s = min(took_s * PAUSE_FACTOR, MAX_PAUSE_S) if full or backfilled else IDLE_S
        return done

    async def wait(self) -> None:
        """Sleep until the next step is due."""
        await asyncio.sleep(self._pause_s)

    async def backfill_once(self) -> int:
        """Bring the next page of orders into a log that is new or was lost. Return how many.

        Summaries made by other rules are reset and recomputed. Raises DependencyDown.
        """
        progress = await self.log.backfill()
        if not progress.is_current:
            await self.log.reset_summaries(progress)
            progress = await self.log.backfill()
        if progress.is_complete:
            return 0
        order_sns = await self.history.order_sns(progress.position, PAGE)
        await self._update(order_sns)
        await self.log.advance_backfill(progress, order_sns[-1] if order_sns else COMPLETE)
        return len(order_sns)

    async def rebuild(self) -> int:
        """Clear the log and backfill it. Return how many orders it has. Raises DependencyDown."""
        await self.log.clear()
        total = 0
        while count := await self.backfill_once():
            total += count
        return total

    async def entries(self, order_sn: str) -> Sequence[LogEntry]:
        """The log of an order, brought up to date first; from the history if the log is unavailable.

        Raises OrderNotFound.
        """
        try:
            await self._update([order_sn])
            entries = await self.log.entries(order_sn, MAX_ENTRIES)
        except DependencyDown:
            events = await self.feed.events({order_sn: 0}, MAX_ENTRIES)
            entries = [entry_of(event) for event in events]
        if not entries and not await self.feed.events({order_sn: 0}, 1):
            raise OrderNotFound
        return entries

    async def purge(self) -> int:
        """Delete some expired entries. Return how many. Raises DependencyDown."""
        before_ms = self._expired_before_ms()
        return await self.log.purge(before_ms, PURGE) if before_ms else 0

    def _expired_before_ms(self) -> int:
        days = self.keep_days()
        return self.clock() - days * DAY_MS if days else 0

    def _without_expired(self, update: LogUpdate) -> LogUpdate:
        """Leave out expired entries: a rebuilt log would have to delete them again."""
        before_ms = self._expired_before_ms()
        return replace(update, entries=[entry for entry in update.entries if entry.at_ms >= before_ms])

    async def _process(self, page: Sequence[FeedEntry]) -> int:
        """Bring the log up to these events, and delete those from the feed that it has for good."""
        now_s, durable_s = self.monotonic_s(), self.log.durable_after_s
        due = [one for one in page if now_s - self._unconfirmed.get(one.event_id, NEVER_S) >= durable_s]
        if not due:
            return 0
        known = await self.log.summaries({one.order_sn for one in due})
        stored, written = await self._update({one.order_sn for one in due if not _covers(known, one)}, known)
        done = []
        for one in due:
            confirmed = _covers(known, one) and (one.event_id in self._unconfirmed or not durable_s)
            unreadable = not _covers(written, one)  # it can never be written
            if confirmed or one.order_sn in stored or unreadable:
                done.append(one.event_id)
                self._unconfirmed.pop(one.event_id, None)
            elif len(self._unconfirmed) < MAX_UNCONFIRMED:
                self._unconfirmed[one.event_id] = now_s
        if done:
            await self.feed.done(done)
        return len(done)

    async def _update(
        self, order_sns: Collection[str], known: Mapping[str, OrderSummary] | None = None
    ) -> tuple[set[str], Mapping[str, OrderSummary]]:
        """Write to the log all events of these orders that it does not have.

        Return the orders that are certainly stored, and all summaries as written.
        """
        stored: set[str] = set()
        numbers = sorted(order_sns)
        summaries = dict(await self.log.summaries(numbers) if known is None else known)
        while numbers:
            since = {sn: summaries[sn].version if sn in summaries else 0 for sn in numbers}
            events = await self.feed.events(since, EVENTS)
            updates, unreadable = log_updates(events, summaries)
            if updates:
                stored |= set(await self.log.append([self._without_expired(one) for one in updates]))
            summaries |= {one.summary.order_sn: one.summary for one in updates}
            for event, error in unreadable:
                self.alert(
                    "log_unreadable", order_sn=event.order_sn, version=event.version, error=repr(error)
                )
            if len(events) < EVENTS:
                break
            stuck = {event.order_sn for event, _ in unreadable}
            numbers = [sn for sn in numbers if sn >= events[-1].order_sn and sn not in stuck]
        return stored, summaries

    def _drop_old_unconfirmed(self) -> None:
        """Drop events whose feed entry another process deleted: they would remain here forever."""
        before_s = self.monotonic_s() - UNCONFIRMED_S
        self._unconfirmed = {id: at_s for id, at_s in self._unconfirmed.items() if at_s > before_s}


def _covers(summaries: Mapping[str, OrderSummary], entry: FeedEntry) -> bool:
    return entry.order_sn in summaries and summaries[entry.order_sn].version >= entry.version
