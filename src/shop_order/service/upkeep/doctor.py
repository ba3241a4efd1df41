"""The doctor: check that money, stock, history and statistics agree, and report where they do not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shop_order.domain.books import money_faults, money_totals, statistics_faults, stock_fault
from shop_order.domain.comparison import chain_fault, outbox_faults, state_faults
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown, UnreadableRow
from shop_order.domain.order_log import OrderSummary
from shop_order.domain.ports import (
    Audit,
    Clock,
    Feed,
    OrderLog,
    Outbox,
    StockLease,
    StockLeases,
    StoredOrder,
    WalletLedger,
)
from shop_order.domain.status import OrderStatus
from shop_order.service.upkeep.audit import READ_AT_ONCE
from shop_order.service.upkeep.wallet_books import WalletBooks

PAGE = 500
MAX_LOST_ITEMS = 100  # that are reported
RECHECK_S = 2.0
SETTLE_S = (3.0, 5.0, 10.0, 10.0)  # pauses, while consumers of a broker catch up


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree, of an order or of what `what` names."""

    area: str
    order_sn: str
    what: str


@dataclass(slots=True)
class DoctorReport:
    """The result of an examination.

    `paid_fen` is all money received, including late and duplicate payments; `refunded_fen` is what was
    refunded of it. `compared` orders have an up-to-date summary in the order log; `in_flight` counts
    unfinished changes.
    """

    orders: int = 0
    leases: int = 0
    compared: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    in_flight: int = 0
    miscounted: set[int] = field(default_factory=set)
    findings: set[Finding] = field(default_factory=set)

    def add(self, area: str, order_sn: str, faults: Sequence[str], *, waiting: bool) -> None:
        """Add what differs at a neighbour, unless the order's events wait to be published."""
        if waiting:
            self.in_flight += bool(faults)
        else:
            self.findings |= {Finding(area, order_sn, what) for what in faults}

    @property
    def clean(self) -> bool:
        """Whether everything agrees."""
        return not self.findings

    @property
    def awaits_events(self) -> bool:
        """Whether an order's stock or wallet entries differ: its events may still be under way."""
        return any(finding.area in ("stock", "wallet") and finding.order_sn for finding in self.findings)


@dataclass(slots=True)
class StockCount:
    """The stock that leases hold, by goods; returned goods are no longer held."""

    reserved: Counter[int] = field(default_factory=Counter)
    sold: Counter[int] = field(default_factory=Counter)

    def add(self, lease: StockLease) -> None:
        """Add a lease; a released one holds nothing."""
        for counted, state in ((self.reserved, "reserved"), (self.sold, "confirmed")):
            for goods, nums in lease.lines:
                counted[goods] += nums if lease.state == state else 0
        for goods, nums in lease.returned:
            self.sold[goods] -= nums


@dataclass(kw_only=True, eq=False)
class Doctor:
    """Merges all orders with all leases, both in order of number."""

    audit: Audit
    clock: Clock
    outbox: Outbox
    leases: StockLeases | None
    log: OrderLog | None = None
    feed: Feed | None = None
    ledger: WalletLedger | None = None

    async def examine(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> DoctorReport:
        """Report the findings that persist: orders change meanwhile, so a second scan has to confirm each.

        An order's stock follows its events, which a broker may still hold: findings of stock are checked
        again for half a minute; the wallet's likewise. Raises DependencyDown if the inventory or the wallet
        does not respond.
        """
        report = await self._scan()
        for pause_s in (RECHECK_S, *SETTLE_S):
            if report.clean or (pause_s != RECHECK_S and not report.awaits_events):
                break
            await sleep(pause_s)
            confirmed = await self._scan(report.miscounted)
            confirmed.findings &= report.findings
            report = confirmed
        return report

    async def _scan(self, miscounted: Collection[int] = ()) -> DoctorReport:
        report, held, wallet = DoctorReport(), StockCount(), WalletBooks()
        if self.ledger is not None:
            await wallet.load(self.ledger)
        before = await self._counters(miscounted)
        waiting = await self.outbox.orders_waiting()
        all_fed = self.feed is not None and not (await self.feed.lag())[0]
        leases = self._all_leases(held)
        lease = await anext(leases, None)
        for item in await self.audit.items_without_order(MAX_LOST_ITEMS):
            report.findings.add(Finding("history", "", f"item {item} has no order"))
        for payment_sn in await self.audit.payments_without_claim(MAX_LOST_ITEMS):
            report.findings.add(
                Finding("history", "", f"{payment_sn}: another payment may use its trade number")
            )
        async for stored, counted in self._all_orders():
            order_sn = stored.order_sn
            while lease is not None and lease.order_sn < order_sn:
                self._add_lease_without_order(report, lease)
                lease = await anext(leases, None)
            own = lease if lease is not None and lease.order_sn == order_sn else None
            # An event that never goes out excuses nothing.
            waits = order_sn in waiting and not outbox_faults(stored, self.clock())
            order = self._examine_order(report, stored, own, waits)
            if order is not None and self.ledger is not None:
                report.add("wallet", order_sn, wallet.faults(order), waiting=waits)
            if order is not None and counted is not None and counted.version == order.version:
                report.compared += 1
                report.findings |= {
                    Finding("figures", order_sn, what) for what in statistics_faults(order, counted)
                }
            elif order is not None and counted is not None and all_fed and order_sn not in waiting:
                what = f"version {counted.version + 1} of {order.version} waits nowhere to be published"
                report.findings.add(Finding("history", order_sn, what))
            if own is not None:
                report.leases += 1
                lease = await anext(leases, None)
        while lease is not None:
            self._add_lease_without_order(report, lease)
            lease = await anext(leases, None)
        report.findings |= {Finding("wallet", "", what) for what in wallet.leftovers()}
        self._compare(report, held, before, await self._counters(held.reserved))
        return report

    async def _counters(self, goods_ids: Collection[int]) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        ids = sorted(goods_ids)
        for at in range(0, len(ids) if self.leases is not None else 0, PAGE):
            assert self.leases is not None
            found |= await self.leases.counters(ids[at : at + PAGE])
        return found

    def _compare(
        self,
        report: DoctorReport,
        held: StockCount,
        before: Mapping[int, tuple[int, int]],
        after: Mapping[int, tuple[int, int]],
    ) -> None:
        """Compare the inventory's counters with its leases, unless the counters changed meanwhile."""
        for goods in held.reserved:
            counted = after.get(goods, (0, 0))
            faults = count_faults(counted, (held.reserved[goods], held.sold[goods]))
            if not faults:
                continue
            report.miscounted.add(goods)
            if before.get(goods, counted) != counted:
                report.in_flight += 1
            else:
                report.findings |= {Finding("stock", "", f"goods {goods}: {fault}") for fault in faults}

    def _examine_order(
        self, report: DoctorReport, stored: StoredOrder, lease: StockLease | None, waiting: bool
    ) -> Order | None:
        report.orders += 1
        order_sn, order = stored.order_sn, stored.order
        if isinstance(order, UnreadableRow):
            report.findings.add(Finding("history", order_sn, f"can't be read: {order!r}"))
            return None
        if broken := chain_fault(stored):
            version, what = broken
            report.findings.add(Finding("history", order_sn, f"version {version} {what}"))
        if order is None:
            return None
        if not broken:
            faults = state_faults(stored, self.clock())
            report.findings |= {Finding("history", order_sn, what) for what in faults}
        report.findings |= {Finding("money", order_sn, what) for what in money_faults(order)}
        paid_fen, refunded_fen = money_totals(order)
        report.paid_fen += paid_fen
        report.refunded_fen += refunded_fen
        report.in_flight += sum(r.is_open for r in order.refunds.values())
        if order.status is not OrderStatus.PENDING and order.money.open_payment():
            report.in_flight += 1
        if self.leases is not None and (fault := stock_fault(order, lease)):
            report.add("stock", order_sn, [fault], waiting=waiting)
        return order

    def _add_lease_without_order(self, report: DoctorReport, lease: StockLease) -> None:
        """Count a lease without an order: one is being placed, or the check-back will release it."""
        report.leases += 1
        if lease.state == "reserved":
            report.in_flight += 1
        elif lease.state == "confirmed":
            report.findings.add(Finding("stock", lease.order_sn, "stock was sold without an order"))

    async def _all_orders(self) -> AsyncIterator[tuple[StoredOrder, OrderSummary | None]]:
        """All orders with their summary in the order log.

        None while the log is being backfilled, and from its first failure on.
        """
        after, log = "", self.log
        while page := await self.audit.order_sns(after, PAGE):
            counted: Mapping[str, OrderSummary] = {}
            try:
                if log is not None and (await log.backfill()).is_complete:
                    counted = await log.summaries(page)
            except DependencyDown:
                log = None
            for at in range(0, len(page), READ_AT_ONCE):
                for stored in await self.audit.stored(page[at : at + READ_AT_ONCE]):
                    yield stored, counted.get(stored.order_sn)
            after = page[-1]

    async def _all_leases(self, held: StockCount) -> AsyncIterator[StockLease]:
        after = ""
        while self.leases is not None and (page := await self.leases.leases(after, PAGE)):
            for lease in page:
                held.add(lease)
                yield lease
            after = page[-1].order_sn


def count_faults(counted: tuple[int, int], held: tuple[int, int]) -> list[str]:
    """Where the counters of reserved and sold goods differ from the sums over the leases."""
    return [
        f"the inventory counts {abs(count - sum)} {'more' if count > sum else 'fewer'} {word}"
        " than its leases hold"
        for word, count, sum in zip(("reserved", "sold"), counted, held, strict=True)
        if count != sum
    ]
