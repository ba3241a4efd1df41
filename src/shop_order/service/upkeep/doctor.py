"""The doctor: check that money, stock, history and statistics agree, and report where they do not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown
from shop_order.domain.event.order_events import ORDER_CANCELLED, PAYMENT_OPENED, REFUND_REQUESTED, Event
from shop_order.domain.order_log import OrderSummary, action_of, log_updates
from shop_order.domain.ports import Audit, OrderLog, Outbox, StockLease, StockLeases
from shop_order.domain.status import OrderStatus, RefundState
from shop_order.service.upkeep.audit import UNREADABLE_ERRORS, check_chain

PAGE = 500
RECHECK_S = 2.0
SETTLE_S = (3.0, 5.0, 10.0, 10.0)  # pauses, while consumers of a broker catch up
_PAID = frozenset({OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.COMPLETED})
_HAS_DUE_TIME = frozenset({OrderStatus.PENDING, OrderStatus.SHIPPED})


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

    @property
    def clean(self) -> bool:
        """Whether everything agrees."""
        return not self.findings

    @property
    def has_stock_findings(self) -> bool:
        """Whether the stock of an order differs: its events may still be under way."""
        return any(finding.area == "stock" and finding.order_sn for finding in self.findings)


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
    outbox: Outbox
    leases: StockLeases | None
    log: OrderLog | None = None

    async def examine(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> DoctorReport:
        """Report the findings that persist: orders change meanwhile, so a second scan has to confirm each.

        An order's stock follows its events, which a broker may still hold: findings of stock are checked
        again for half a minute. Raises DependencyDown if the inventory service does not respond.
        """
        report = await self._scan()
        for pause_s in (RECHECK_S, *SETTLE_S):
            if report.clean or (pause_s != RECHECK_S and not report.has_stock_findings):
                break
            await sleep(pause_s)
            confirmed = await self._scan(report.miscounted)
            confirmed.findings &= report.findings
            report = confirmed
        return report

    async def _scan(self, miscounted: Collection[int] = ()) -> DoctorReport:
        report, held = DoctorReport(), StockCount()
        before = await self._counters(miscounted)
        waiting = await self.outbox.orders_waiting()
        leases = self._all_leases(held)
        lease = await anext(leases, None)
        async for order_sn, counted in self._all_orders():
            while lease is not None and lease.order_sn < order_sn:
                self._add_lease_without_order(report, lease)
                lease = await anext(leases, None)
            own = lease if lease is not None and lease.order_sn == order_sn else None
            order = await self._examine_order(report, order_sn, own, order_sn in waiting)
            if order is not None and counted is not None and counted.version == order.version:
                report.compared += 1
                report.findings |= {
                    Finding("figures", order_sn, what) for what in statistics_faults(order, counted)
                }
            if own is not None:
                report.leases += 1
                lease = await anext(leases, None)
        while lease is not None:
            self._add_lease_without_order(report, lease)
            lease = await anext(leases, None)
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

    async def _examine_order(
        self, report: DoctorReport, order_sn: str, lease: StockLease | None, waiting: bool
    ) -> Order | None:
        report.orders += 1
        try:
            order = await self.audit.order(order_sn)
        except UNREADABLE_ERRORS as altered:
            report.findings.add(Finding("history", order_sn, f"can't be read: {altered!r}"))
            return None
        chain = list(await self.audit.chain(order_sn))
        broken = check_chain(order_sn, chain, order)
        if broken:
            report.findings.add(Finding("history", order_sn, f"version {broken.version} {broken.what}"))
        if order is None:
            return None
        if not broken:
            report.findings |= {Finding("history", order_sn, what) for what in history_faults(order, chain)}
        report.findings |= {Finding("money", order_sn, what) for what in money_faults(order)}
        paid_fen, refunded_fen = money_totals(order)
        report.paid_fen += paid_fen
        report.refunded_fen += refunded_fen
        report.in_flight += sum(r.is_open for r in order.refunds.values())
        if order.status is not OrderStatus.PENDING and order.money.open_payment():
            report.in_flight += 1
        if self.leases is not None and (fault := stock_fault(order, lease)):
            if waiting:
                report.in_flight += 1
            else:
                report.findings.add(Finding("stock", order_sn, fault))
        return order

    def _add_lease_without_order(self, report: DoctorReport, lease: StockLease) -> None:
        """Count a lease without an order: one is being placed, or the check-back will release it."""
        report.leases += 1
        if lease.state == "reserved":
            report.in_flight += 1
        elif lease.state == "confirmed":
            report.findings.add(Finding("stock", lease.order_sn, "stock was sold without an order"))

    async def _all_orders(self) -> AsyncIterator[tuple[str, OrderSummary | None]]:
        """All numbers with their summary in the order log.

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
            for order_sn in page:
                yield order_sn, counted.get(order_sn)
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


def history_faults(order: Order, chain: Sequence[Event]) -> list[str]:
    """Where the rows of an order differ from its events."""
    events = [(event.type, json.loads(event.payload)) for event in chain]
    placed = events[0][1]
    faults = []
    lines = [(line["goods_id"], line["nums"], line["price_fen"]) for line in placed["lines"]]
    if sorted(lines) != sorted((i.goods, i.nums, i.price_fen) for i in order.items):
        faults.append("has other items than were ordered")
    freight_fen = placed.get("freight_fen", 0)  # the first events had none
    ordered = (placed["total_fen"], freight_fen, placed["pay_fen"], placed["expire_at_ms"])
    if ordered != (order.total_fen, order.freight_fen, order.pay_fen, order.expire_ms):
        faults.append("has other amounts, or another payment deadline, than were ordered")
    opened = {data["payment_sn"]: data["amount_fen"] for type, data in events if type == PAYMENT_OPENED}
    if opened != {sn: payment.amount_fen for sn, payment in order.payments.items()}:
        faults.append("has other payments than its history")
    refunds = {data["refund_sn"]: data["amount_fen"] for type, data in events if type == REFUND_REQUESTED}
    if refunds != {sn: refund.amount_fen for sn, refund in order.refunds.items()}:
        faults.append("has other refunds than its history")
    faults += summary_faults(order, chain)
    if (order.due_ms is not None) != (order.status in _HAS_DUE_TIME):
        faults.append(f"is {order.status.name} {'with' if order.due_ms else 'without'} a due time")
    return faults


def summary_faults(order: Order, chain: Sequence[Event]) -> list[str]:
    """Where money or cancellation differ from the events, on which the statistics are based."""
    updates, unreadable = log_updates(chain, {})
    if unreadable or not updates:
        return ["has a history that can't be summarized"]
    update, faults = updates[0], []
    if (update.summary.paid_fen, update.summary.refunded_fen) != money_totals(order):
        faults.append("has other money than its history")
    code = next((entry.reason for entry in update.entries if entry.action == action_of(ORDER_CANCELLED)), "")
    if order.cancel_code not in ("", code):  # an earlier version stored none
        faults.append("was cancelled for another reason than in its history")
    return faults


def money_totals(order: Order) -> tuple[int, int]:
    """The amounts paid and refunded of an order, in fen."""
    payments = order.payments.values()
    return sum(p.amount_fen for p in payments if p.is_paid), sum(p.refunded_fen for p in payments)


def statistics_faults(order: Order, counted: OrderSummary) -> list[str]:
    """Where the order log's summary differs from the order."""
    paid_fen, refunded_fen = money_totals(order)
    expected = {
        "status": int(order.status),
        "to pay": order.pay_fen,
        "paid": paid_fen,
        "refunded": refunded_fen,
    }
    found = (counted.status, counted.pay_fen, counted.paid_fen, counted.refunded_fen)
    return [
        f"the order log counts {count} as {what}, the order says {value}: run `shop-order stats rebuild`"
        for (what, value), count in zip(expected.items(), found, strict=True)
        if value != count
    ]


def money_faults(order: Order) -> list[str]:
    """Where an order's amounts do not agree."""
    faults = []
    total_fen = sum(item.total_fen for item in order.items)
    if order.total_fen != total_fen:
        faults.append(f"the items cost {total_fen} fen, the order says {order.total_fen}")
    if order.pay_fen != max(order.total_fen - order.discount_fen + order.freight_fen, 1):
        faults.append("pay_fen is not total - discount + freight")
    own = order.payments.get(order.payment_sn)
    if order.status in _PAID and (own is None or not own.is_paid or own.amount_fen != order.pay_fen):
        faults.append(f"is {order.status.name} without a payment of {order.pay_fen} fen")
    if order.status is OrderStatus.PENDING and any(p.is_paid for p in order.payments.values()):
        faults.append("has money but waits for payment")
    if sum(p.is_open for p in order.payments.values()) > 1:
        faults.append("has two open attempts")
    for payment in order.payments.values():
        refunds = [r for r in order.refunds.values() if r.payment_sn == payment.payment_sn]
        sum_fen = sum(r.amount_fen for r in refunds if r.state is RefundState.SUCCEEDED)
        if sum_fen != payment.refunded_fen or sum_fen > payment.amount_fen:
            faults.append(
                f"{payment.payment_sn}: refunds of {sum_fen} fen, the payment says {payment.refunded_fen}"
            )
        surplus = payment.is_paid and payment.payment_sn != order.payment_sn
        if surplus and sum(r.amount_fen for r in refunds if r.surplus) != payment.amount_fen:
            faults.append(f"{payment.payment_sn}: surplus money is not being refunded")
        if any(r.state is RefundState.FAILED for r in refunds):
            faults.append(f"{payment.payment_sn}: the provider refused a refund")
    return faults


def stock_fault(order: Order, lease: StockLease | None) -> str:
    """How the lease differs from what the order needs; empty if it does not."""
    if order.status is OrderStatus.CANCELLED:
        return "is cancelled but holds stock" if lease is not None and lease.state != "released" else ""
    wanted = "reserved" if order.status is OrderStatus.PENDING else "confirmed"
    if lease is None:
        return "has no stock"
    if lease.state != wanted:
        return f"is {order.status.name} but its stock is {lease.state}"
    if sorted(lease.lines) != [(i.goods, i.nums) for i in sorted(order.items, key=lambda i: i.goods)]:
        return "holds other stock than it sold"
    return ""
