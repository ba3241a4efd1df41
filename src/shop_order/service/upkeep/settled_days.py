"""What each provider pays out, by day: from the bills that were reconciled (decision reconciliation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from shop_order.domain.bill import DAY_MS, day_at, first_ms
from shop_order.domain.ports import BillSource, Clock, Reconciliations
from shop_order.domain.settled_day import DayState, SettledDay, SettledSums
from shop_order.domain.status import PaymentType
from shop_order.service.upkeep.statistics import day_span


@dataclass(frozen=True, slots=True)
class SettlementReport:
    """Each day of each channel, by day, then channel; and the sums of each channel.

    `is_complete` is False if any day is not reconciled.
    """

    first_day: date
    last_day: date
    days: Sequence[SettledDay]
    by_channel: Mapping[str, SettledSums]
    is_complete: bool


@dataclass(kw_only=True, eq=False)
class SettledDays:
    """The daily settlement of the channels that have bills, and of those that had."""

    store: Reconciliations
    sources: Mapping[PaymentType, BillSource]
    real_clock: Clock

    async def report(
        self, first_day: str = "", last_day: str = "", channel: PaymentType | None = None
    ) -> SettlementReport:
        """The settlement of these days in China, by default of 30 days until yesterday; None: all channels.

        Raises InvalidArgument (not a day, or too many days), DependencyDown.
        """
        now_ms = self.real_clock()
        yesterday = day_at(now_ms) - timedelta(days=1)
        first, last = day_span(first_day, last_day, yesterday)
        stored = await self.store.results(first, last)
        kept = {(one.day, one.channel): SettledDay.of(one) for one in stored}
        for source_of, source in self.sources.items():
            for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
                is_out = now_ms >= first_ms(day) + DAY_MS + source.out_ms
                state = DayState.BILL_MISSING if is_out else DayState.NOT_OUT
                kept.setdefault((day, source_of.code), SettledDay(day, source_of.code, state))
        days = [one for _, one in sorted(kept.items()) if channel is None or one.channel == channel.code]
        by_channel: dict[str, SettledSums] = {}
        for one in days:
            by_channel[one.channel] = by_channel.get(one.channel, SettledSums()).plus(one.sums)
        is_complete = all(one.state is DayState.RECONCILED for one in days)
        return SettlementReport(first, last, days, by_channel, is_complete)
