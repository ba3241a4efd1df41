"""Reconcile each day's bill of a provider with our payments (decision reconciliation).

Days are those of the provider's clock, so the test clock has no effect. Nothing is changed, except that the
provider is asked about payments and refunds that only the bill knows; they are then settled as usual.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import IO

from shop_order.domain.bill import (
    DAY_MS,
    Bill,
    BillLine,
    Comparison,
    Reconciliation,
    day_at,
    first_ms,
)
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, InvalidArgument, UnreadableRow
from shop_order.domain.ports import (
    BillNotOut,
    BillSource,
    BillUnusable,
    Clock,
    Fence,
    LinesRead,
    Reconciliations,
)
from shop_order.domain.status import PaymentType
from shop_order.service.upkeep.bill_progress import Pace, Progress, Step, Told
from shop_order.service.upkeep.day_comparison import DayComparison, EarlierBills, pages

JOB = "reconcile"  # also the name of its lease
EMPTY_MS = 2 * DAY_MS  # after the start of a day: no bill by then means no payments
CATCH_UP_DAYS = 7
SETTLE_S = 15.0  # the wait for responses to the queries, after the last one was due
MAX_SPREAD_S = 600.0
POLL_S = 0.5
NOT_OUT_S, UNAVAILABLE_S, UNUSABLE_S = 600.0, 300.0, 3600.0  # until the next try
TOLD_EVERY_S, LOGGED_EVERY_S = 1.0, 10.0  # progress, to an operator and to the log
DUE_EVERY_S = 60.0  # between checks for days that are due
WATCHED_DAYS = 30


@dataclass(kw_only=True, eq=False)
class ReconciliationService:
    """Reconciles one day at a time; a later result of a day replaces the earlier one."""

    store: Reconciliations
    sources: Mapping[PaymentType, BillSource]
    real_clock: Clock
    clock: Clock  # the shop's: it only schedules queries
    fence: Callable[[], Fence]  # of this job's lease
    warn: Callable[..., None]
    log: Callable[..., None]
    settle_s: float = SETTLE_S
    _not_before: dict[tuple[PaymentType, date], float] = field(default_factory=dict, init=False)

    # ---- the job ----

    async def step(self) -> int:
        """Reconcile the oldest due day of each channel. Return how many. Raises LeaseLost."""
        done = 0
        for channel, day in await self.due():
            wait_s = UNAVAILABLE_S  # also after an unexpected failure
            try:
                result = await self.reconcile(channel, day)
                self._log(result)
                done, wait_s = done + 1, 0.0
            except BillNotOut:
                wait_s = NOT_OUT_S
            except (ChannelUnavailable, DependencyDown) as error:
                self.warn("bill_away", channel=channel.code, day=str(day), error=str(error))
            except (BillUnusable, UnreadableRow) as error:
                wait_s = UNUSABLE_S
                self.warn("bill_unusable", channel=channel.code, day=str(day), error=str(error))
            finally:
                self._not_before[channel, day] = time.monotonic() + wait_s
        return done

    async def due(self) -> Sequence[tuple[PaymentType, date]]:
        """The oldest day of each channel whose bill should be out and has not been compared.

        A day with differences is compared again a day later: it may agree by then.
        """
        now_ms, found = self.real_clock(), []
        today = day_at(now_ms)
        days = [today - timedelta(days=n) for n in range(CATCH_UP_DAYS, 0, -1)]
        self._not_before = {key: s for key, s in self._not_before.items() if key[1] in days}
        for channel, source in self.sources.items():
            if not source.available():
                continue
            kept = await self.store.days(channel, days[0])
            done = {day for day, one in kept.items() if one.is_final and not one.is_stale(now_ms)}
            for day in days:
                is_out = now_ms >= first_ms(day) + DAY_MS + source.out_ms
                if is_out and day not in done and time.monotonic() >= self._not_before.get((channel, day), 0):
                    found.append((channel, day))
                    break
        return found

    async def wait(self) -> None:
        """Sleep until `step` should be called again."""
        await asyncio.sleep(DUE_EVERY_S)

    async def lag(self) -> Sequence[tuple[PaymentType, float, int]]:
        """For each channel: seconds since the start of the oldest unreconciled day of a week, and the number
        of differences of a month."""
        now_ms, found = self.real_clock(), []
        today = day_at(now_ms)
        for channel, source in self.sources.items():
            if source.available():
                kept = await self.store.days(channel, today - timedelta(days=WATCHED_DAYS))
                day = today - timedelta(days=CATCH_UP_DAYS)
                while day < today and day in kept and kept[day].is_final:
                    day += timedelta(days=1)
                differences = sum(one.differences for one in kept.values())
                found.append((channel, (now_ms - first_ms(day)) / 1000, differences))
        return found

    def _log(self, result: Reconciliation) -> None:
        if result.differences or result.settled:
            self.warn(
                "bill_differs" if result.differences else "bill_settled",
                channel=result.channel.code,
                day=str(result.day),
                differences=result.differences,
                settled=result.settled,
                numbers=[one.number for one in result.shown[:20]],
            )

    # ---- one day ----

    async def reconcile(
        self, channel: PaymentType, day: date, file: IO[bytes] | None = None, told: Told | None = None
    ) -> Reconciliation:
        """Compare a day's bill, from the provider or from a downloaded file, and store the result.

        Nothing is stored before that, and asking twice about a payment is harmless: if killed, start again.

        Raises InvalidArgument (a day in the future), BillNotOut, BillUnusable, ChannelUnavailable,
        DependencyDown, LeaseLost, UnreadableRow (an altered row).
        """
        fence = self.fence()
        if day > day_at(self.real_clock()):
            raise InvalidArgument("date", "too_late", other="today")
        if channel not in self.sources:
            raise ChannelUnavailable(channel.code, "bill")
        source = self.sources[channel]
        pace = Pace(channel, day, told or self._log_progress, TOLD_EVERY_S if told else LOGGED_EVERY_S)
        bill = await self._bill(source, day, file, partial(pace.at, Step.READING))
        compared = DayComparison(self.store, channel, bill, pace)
        await compared.bill_with_ours()
        settled = await self._settle(compared)
        waiting = await compared.ours_with_bill(EarlierBills(self._earlier(source, file, pace)))
        result = self._result(compared.comparison, bill, settled, waiting)
        await self.store.keep(result, fence)
        return result

    def _result(self, comparison: Comparison, bill: Bill, settled: int, waiting: int) -> Reconciliation:
        return Reconciliation(
            channel=comparison.channel,
            day=bill.day,
            ours=comparison.ours,
            theirs=comparison.theirs,
            differences=comparison.count,
            shown=tuple(comparison.shown),
            settled=settled,
            waiting=waiting,
            digest=bill.digest,
            created_ms=self.real_clock(),
            fee_fen=comparison.fee_fen,
            discount_fen=comparison.discount_fen,
        )

    async def _bill(self, source: BillSource, day: date, file: IO[bytes] | None, read: LinesRead) -> Bill:
        """The day's bill; empty once it is certain that there is none. Raises like `BillSource.bill`."""
        if file is not None:
            return await source.read(day, file, read)
        try:
            return await source.bill(day, read)
        except BillNotOut:
            if self.real_clock() < first_ms(day) + EMPTY_MS:
                raise
            return Bill(day, ())

    def _earlier(
        self, source: BillSource, file: IO[bytes] | None, pace: Pace
    ) -> Callable[[date], Awaitable[Bill]]:
        async def bill(day: date) -> Bill:
            try:
                return await self._bill(source, day, None, partial(pace.at, Step.READING_EARLIER))
            except (BillNotOut, BillUnusable, ChannelUnavailable, DependencyDown):
                if file is None:
                    raise
                return Bill(day, ())  # with a file, the provider may not be configured at all

        return bill

    async def _settle(self, compared: DayComparison) -> int:
        """Ask the provider about what only the bill knows, wait a moment, then compare it.

        The bill changes nothing: the running service asks, and its provider's verified answer is applied like
        any other. Return how many payments and refunds were settled by it.
        """
        spread_s = await compared.ask(self.clock())
        settled, until_s = 0, time.monotonic() + self.settle_s + min(spread_s, MAX_SPREAD_S)
        for lines in pages(compared.asked):
            await self._wait_for(compared, lines, until_s)
            settled += await compared.compare_asked(lines)
        return settled

    async def _wait_for(self, compared: DayComparison, lines: Sequence[BillLine], until_s: float) -> None:
        while True:
            if await compared.all_known(lines) or time.monotonic() >= until_s:
                return
            await asyncio.sleep(POLL_S)

    def _log_progress(self, progress: Progress) -> None:
        self.log(
            "bill_progress",
            channel=progress.channel.code,
            day=str(progress.day),
            step=progress.step.value,
            lines=progress.done,
            total=progress.total or None,
            lines_per_s=progress.per_s,
        )
