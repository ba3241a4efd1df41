"""Reconcile each day's bill of a provider with our payments (decision reconciliation).

Days are those of the provider's clock, so the test clock has no effect. Nothing is changed, except that an
attempt which is unpaid here but paid in the bill is queried again, and then settled as usual.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from shop_order.domain.bill import (
    DAY_MS,
    EDGE_MS,
    Bill,
    BillCursor,
    BillLine,
    BillNumbers,
    Comparison,
    Reconciliation,
    day_at,
    days_near,
    first_ms,
    is_before,
)
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, InvalidArgument, UnreadableRow
from shop_order.domain.ports import BillNotOut, BillSource, BillUnusable, Clock, Fence, Reconciliations
from shop_order.domain.status import PaymentType, RefundState

JOB = "reconcile"  # also the name of its lease
PAGE = 500
EMPTY_MS = 2 * DAY_MS  # after the start of a day: no bill by then means no payments
CATCH_UP_DAYS = 7
MAX_QUERIED = 500
SETTLE_S = 15.0  # the wait for responses to the queries
POLL_S = 0.5
NOT_OUT_S, UNAVAILABLE_S, UNUSABLE_S = 600.0, 300.0, 3600.0  # until the next try
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

    async def reconcile(self, channel: PaymentType, day: date, file: bytes | None = None) -> Reconciliation:
        """Compare a day's bill, from the provider or from a downloaded file, and store the result.

        Raises InvalidArgument (a day in the future), BillNotOut, BillUnusable, ChannelUnavailable,
        DependencyDown, LeaseLost, UnreadableRow (an altered row).
        """
        fence = self.fence()
        if day > day_at(self.real_clock()):
            raise InvalidArgument("date", "too_late", other="today")
        if channel not in self.sources:
            raise ChannelUnavailable(channel.code, "bill")
        source = self.sources[channel]
        bill = await self._bill(source, day) if file is None else await source.read(day, file)
        comparison = Comparison(channel)
        theirs = BillNumbers()
        unpaid = await self._compare(comparison, bill, theirs)
        settled = await self._settle(comparison, unpaid)
        waiting = await self._compare_ours(comparison, day, theirs, EarlierBills(self._earlier(source, file)))
        result = Reconciliation(
            channel=channel,
            day=day,
            ours=comparison.ours,
            theirs=comparison.theirs,
            differences=comparison.count,
            shown=tuple(comparison.shown),
            settled=settled,
            waiting=waiting,
            digest=bill.digest,
            created_ms=self.real_clock(),
        )
        await self.store.keep(result, fence)
        return result

    async def _bill(self, source: BillSource, day: date) -> Bill:
        """The day's bill; empty once it is certain that there is none. Raises like `BillSource.bill`."""
        try:
            return await source.bill(day)
        except BillNotOut:
            if self.real_clock() < first_ms(day) + EMPTY_MS:
                raise
            return Bill(day, ())

    def _earlier(self, source: BillSource, file: bytes | None) -> Callable[[date], Awaitable[Bill]]:
        async def bill(day: date) -> Bill:
            try:
                return await self._bill(source, day)
            except (BillNotOut, BillUnusable, ChannelUnavailable, DependencyDown):
                if file is None:
                    raise
                return Bill(day, ())  # with a file, the provider may not be configured at all

        return bill

    async def _compare(self, comparison: Comparison, bill: Bill, theirs: BillNumbers) -> list[BillLine]:
        """Compare all lines, except those returned: attempts unpaid here, which a query may settle."""
        unpaid: list[BillLine] = []
        for lines in pages(bill.lines):
            if trades := [line for line in lines if not line.is_refund]:
                unpaid += await self._compare_payments(comparison, bill.day, trades, theirs)
            if refunds := [line for line in lines if line.is_refund]:
                await self._compare_refunds(comparison, bill.day, refunds, theirs)
        return unpaid

    async def _compare_payments(
        self, comparison: Comparison, day: date, lines: Sequence[BillLine], theirs: BillNumbers
    ) -> Sequence[BillLine]:
        unpaid: list[BillLine] = []
        known = await self.store.payments([line.payment_sn for line in lines])
        for line in lines:
            payment = known.get(line.payment_sn)
            if payment and payment.payment_type is not comparison.channel:
                payment = None
            in_earlier_bill = payment is not None and payment.is_paid and is_before(payment.paid_ms, day)
            if in_earlier_bill or line.payment_sn in theirs.payments:
                comparison.add_repeated(line)
            elif payment and not payment.is_paid:
                unpaid.append(line)
            else:
                comparison.compare_payment(line, payment)
            theirs.payments.add(line.payment_sn)
        return unpaid

    async def _compare_refunds(
        self, comparison: Comparison, day: date, lines: Sequence[BillLine], theirs: BillNumbers
    ) -> None:
        known = await self.store.refunds([line.refund_sn for line in lines])
        for line in lines:
            refund, number = known.get(line.refund_sn), (line.payment_sn, line.refund_sn)
            done_ms = refund.finished_ms if refund and refund.state is RefundState.SUCCEEDED else None
            in_earlier_bill = done_ms is not None and is_before(done_ms, day)
            if in_earlier_bill or (
                line.refund_sn in theirs.refunds if refund else number in theirs.foreign_refunds
            ):
                comparison.add_repeated(line)
            else:
                comparison.compare_refund(line, refund)
            if refund:
                theirs.refunds.add(line.refund_sn)
            else:
                theirs.foreign_refunds.add(number)

    async def _settle(self, comparison: Comparison, unpaid: Sequence[BillLine]) -> int:
        """Request a query of each, wait a moment, then compare. Return how many were settled."""
        for line in unpaid[:MAX_QUERIED]:
            await self.store.request_query(line.payment_sn, self.clock())
        settled, until_s = 0, time.monotonic() + self.settle_s
        for lines in pages(unpaid):
            now = await self._paid_until(lines, until_s)
            for line in lines:
                before = comparison.count
                comparison.compare_payment(line, now[line.payment_sn])
                settled += comparison.count == before
        return settled

    async def _paid_until(self, lines: Sequence[BillLine], until_s: float) -> Mapping[str, Payment]:
        while True:
            found = await self.store.payments([line.payment_sn for line in lines])
            if all(one.is_paid for one in found.values()) or time.monotonic() >= until_s:
                return found
            await asyncio.sleep(POLL_S)

    async def _compare_ours(
        self, comparison: Comparison, day: date, theirs: BillNumbers, earlier: EarlierBills
    ) -> int:
        """Compare our payments and refunds that are not in the bill. Return how many may be in the next one.

        Payments and refunds in the last minutes of a day are compared with the next day, when both bills are
        published.
        """
        channel, waiting = comparison.channel, 0
        begin, end = BillCursor(first_ms(day) - EDGE_MS), first_ms(day) + DAY_MS
        after: BillCursor | None = begin
        while after is not None:
            paid = await self.store.paid(channel, after, end, PAGE)
            for payment in paid:
                if payment.payment_sn in theirs.payments:
                    continue
                if payment.paid_ms >= end - EDGE_MS:
                    waiting += 1
                elif not await earlier.has_payment(payment, day):
                    comparison.add_missing_payment(payment)
            after = BillCursor(paid[-1].paid_ms, paid[-1].payment_sn) if len(paid) == PAGE else None
        after = begin
        while after is not None:
            refunded = await self.store.refunded(channel, after, end, PAGE)
            for refund in refunded:
                if refund.refund_sn in theirs.refunds:
                    continue
                if refund.finished_ms >= end - EDGE_MS:
                    waiting += 1
                elif not await earlier.has_refund(refund, day):
                    comparison.add_missing_refund(refund)
            after = (
                BillCursor(refunded[-1].finished_ms, refunded[-1].refund_sn)
                if len(refunded) == PAGE
                else None
            )
        return waiting


class EarlierBills:
    """The bills of earlier days, each fetched on demand and once."""

    def __init__(self, bill: Callable[[date], Awaitable[Bill]]) -> None:
        self._bill = bill
        self._numbers: dict[date, BillNumbers] = {}

    async def has_payment(self, payment: Payment, excluding: date) -> bool:
        """Whether another bill lists it; our clock may differ from the provider's."""
        for day in days_near(payment.paid_ms, payment.paid_ms, excluding):
            if payment.payment_sn in (await self._of(day)).payments:
                return True
        return False

    async def has_refund(self, refund: Refund, excluding: date) -> bool:
        """Whether another bill lists it; the refund may have succeeded before we knew."""
        for day in days_near(refund.created_ms, refund.finished_ms, excluding):
            if refund.refund_sn in (await self._of(day)).refunds:
                return True
        return False

    async def _of(self, day: date) -> BillNumbers:
        if day not in self._numbers:
            bill = await self._bill(day)
            self._numbers[day] = await asyncio.to_thread(BillNumbers.of, bill)  # a large bill takes long
        return self._numbers[day]


def pages(lines: Sequence[BillLine]) -> Iterator[Sequence[BillLine]]:
    """Split into pages, so that orders are served in between."""
    for begin in range(0, len(lines), PAGE):
        yield lines[begin : begin + PAGE]
