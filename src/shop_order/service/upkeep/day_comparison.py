"""Compare one day's bill with our payments and refunds, in pages, with bounded memory.

Lines and numbers are on disk (`pkg.spool`); orders are served between the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date

from shop_order.domain.bill import (
    DAY_MS,
    EDGE_MS,
    SENT_REFUND,
    Bill,
    BillCursor,
    BillLine,
    Comparison,
    LineState,
    days_near,
    first_ms,
    is_before,
)
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.ports import Reconciliations
from shop_order.domain.status import PaymentType, RefundState
from shop_order.pkg.spool import DiskList, DiskSet
from shop_order.service.upkeep.bill_progress import Pace, Step

PAGE = 500
ASKED_REFUND = SENT_REFUND | {RefundState.FAILED}
ASKED_AT_ONCE = 32
ASKED_EVERY_MS = 50  # so that the queries of a lost day leave room for those of today's buyers
COLUMNS = len(BillLine("", "", 0).row())


class BillNumbers:
    """The numbers in a bill; `foreign_refunds` are those of refunds unknown here, each with its payment's."""

    def __init__(self) -> None:
        self.payments, self.refunds, self.foreign_refunds = DiskSet(), DiskSet(), DiskSet()

    @classmethod
    def of(cls, bill: Bill) -> BillNumbers:
        """Collect the numbers of all lines."""
        found = cls()
        for lines in pages(bill.lines):
            for line in lines:
                (found.refunds if line.is_refund else found.payments).add(key(line))
        return found


def key(line: BillLine) -> str:
    """The number of a line among those of its kind."""
    return line.out_refund_no if line.is_refund else line.payment_sn


class DayComparison:
    """One bill against ours. `asked` are the lines whose provider is asked first."""

    def __init__(self, store: Reconciliations, channel: PaymentType, bill: Bill, pace: Pace) -> None:
        self.comparison = Comparison(channel)
        self.asked: DiskList[BillLine] = DiskList(BillLine.of_row, COLUMNS)
        self._store = store
        self._bill = bill
        self._pace = pace
        self._theirs = BillNumbers()

    # ---- the bill's lines ----

    async def bill_with_ours(self) -> None:
        """Compare all lines, except those to ask about: money here unpaid, or not refunded yet."""
        done, total = 0, len(self._bill.lines)
        for lines in pages(self._bill.lines):
            if trades := [line for line in lines if not line.is_refund]:
                await self._payments(trades)
            if refunds := [line for line in lines if line.is_refund]:
                await self._refunds(refunds)
            done += len(lines)
            self._pace.at(Step.COMPARING, done, total)

    async def _payments(self, lines: Sequence[BillLine]) -> None:
        known = await self._known_payments(lines)
        for line in lines:
            payment = known.get(line.payment_sn)
            is_paid = payment is not None and payment.is_paid
            in_earlier_bill = payment and is_paid and is_before(payment.paid_ms, self._bill.day)
            if not self._theirs.payments.add(line.payment_sn) or in_earlier_bill:
                self.comparison.add_repeated(line)
            elif payment and not is_paid:
                self.asked.append(line.row())
            else:
                self.comparison.compare_payment(line, payment)

    async def _known_payments(self, lines: Sequence[BillLine]) -> Mapping[str, Payment]:
        found = await self._store.payments([line.payment_sn for line in lines])
        return {sn: one for sn, one in found.items() if one.payment_type is self.comparison.channel}

    async def _refunds(self, lines: Sequence[BillLine]) -> None:
        known = await self._store.refunds([line.out_refund_no for line in lines])
        for line in lines:
            refund = known.get(line.out_refund_no)
            is_done = refund is not None and refund.state is RefundState.SUCCEEDED
            in_earlier_bill = refund and is_done and is_before(refund.finished_ms, self._bill.day)
            if not self._is_new(line, is_known=refund is not None) or in_earlier_bill:
                self.comparison.add_repeated(line)
            elif refund and is_lost(line, refund):
                self.asked.append(line.row())
            else:
                self.comparison.compare_refund(line, refund)

    def _is_new(self, line: BillLine, *, is_known: bool) -> bool:
        """Whether the bill did not have the refund before: its own numbers may be those of several trades."""
        if is_known:
            return self._theirs.refunds.add(line.out_refund_no)
        return self._theirs.foreign_refunds.add(f"{line.payment_sn}\n{line.out_refund_no}")

    # ---- what only the bill knows ----

    async def ask(self, now_ms: int) -> float:
        """Have the provider asked about each of `asked`; return the seconds until the last one's turn."""
        for begin in range(0, len(self.asked), ASKED_AT_ONCE):
            lines = self.asked[begin : begin + ASKED_AT_ONCE]
            at_ms = [now_ms + (begin + n) * ASKED_EVERY_MS for n in range(len(lines))]
            await asyncio.gather(*map(self._ask, lines, at_ms))
        return max(len(self.asked) - 1, 0) * ASKED_EVERY_MS / 1000

    async def _ask(self, line: BillLine, at_ms: int) -> None:
        if line.is_refund:
            await self._store.request_refund(line.out_refund_no, at_ms)
        else:
            await self._store.request_query(line.payment_sn, at_ms)

    async def all_known(self, lines: Sequence[BillLine]) -> bool:
        """Whether the provider has confirmed all of these."""
        payments, refunds = await self._now(lines)
        return all(one.is_paid for one in payments.values()) and all(
            one.state is RefundState.SUCCEEDED for one in refunds.values()
        )

    async def compare_asked(self, lines: Sequence[BillLine]) -> int:
        """Compare these as they are now. Return how many agree."""
        payments, refunds = await self._now(lines)
        agree = 0
        for line in lines:
            before = self.comparison.count
            if line.is_refund:
                self.comparison.compare_refund(line, refunds.get(line.out_refund_no))
            else:
                self.comparison.compare_payment(line, payments.get(line.payment_sn))
            agree += self.comparison.count == before
        return agree

    async def _now(self, lines: Sequence[BillLine]) -> tuple[Mapping[str, Payment], Mapping[str, Refund]]:
        trades = [line for line in lines if not line.is_refund]
        numbers = [line.out_refund_no for line in lines if line.is_refund]
        payments = await self._known_payments(trades) if trades else {}
        return payments, await self._store.refunds(numbers) if numbers else {}

    # ---- what only we know ----

    async def ours_with_bill(self, earlier: EarlierBills) -> int:
        """Compare our payments and refunds that are not in the bill. Return how many may be in the next one.

        Payments and refunds in the last minutes of a day are compared with the next day, when both bills are
        published.
        """
        day, waiting, seen = self._bill.day, 0, 0
        end_ms = first_ms(day) + DAY_MS
        async for paid in self._paid(end_ms):
            for payment in [one for one in paid if one.payment_sn not in self._theirs.payments]:
                if payment.paid_ms >= end_ms - EDGE_MS:
                    waiting += 1
                elif not await earlier.has_payment(payment, day):
                    self.comparison.add_missing_payment(payment)
            seen += len(paid)
            self._pace.at(Step.SEARCHING, seen)
        async for refunded in self._refunded(end_ms):
            for refund in [one for one in refunded if one.out_refund_no not in self._theirs.refunds]:
                if refund.finished_ms >= end_ms - EDGE_MS:
                    waiting += 1
                elif not await earlier.has_refund(refund, day):
                    self.comparison.add_missing_refund(refund)
            seen += len(refunded)
            self._pace.at(Step.SEARCHING, seen)
        return waiting

    async def _paid(self, end_ms: int) -> AsyncIterator[Sequence[Payment]]:
        after: BillCursor | None = BillCursor(first_ms(self._bill.day) - EDGE_MS)
        while after is not None:
            found = await self._store.paid(self.comparison.channel, after, end_ms, PAGE)
            yield found
            after = BillCursor(found[-1].paid_ms, found[-1].payment_sn) if len(found) == PAGE else None

    async def _refunded(self, end_ms: int) -> AsyncIterator[Sequence[Refund]]:
        after: BillCursor | None = BillCursor(first_ms(self._bill.day) - EDGE_MS)
        while after is not None:
            found = await self._store.refunded(self.comparison.channel, after, end_ms, PAGE)
            yield found
            after = BillCursor(found[-1].finished_ms, found[-1].refund_sn) if len(found) == PAGE else None


def is_lost(line: BillLine, refund: Refund) -> bool:
    """Whether the bill knows of a refund what we do not: that it ended, or that it did not fail."""
    if line.state is LineState.DONE:
        return refund.state in ASKED_REFUND
    return line.state is LineState.OPEN and refund.state is RefundState.FAILED


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
            if refund.out_refund_no in (await self._of(day)).refunds:
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
