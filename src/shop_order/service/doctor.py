"""The doctor: money, stock, history and figures agree, or it says where they do not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown
from shop_order.domain.event.order_events import ORDER_CANCELLED, PAYMENT_OPENED, REFUND_REQUESTED, Event
from shop_order.domain.order_log import Facts, OrderLog, action_of, chapters_of
from shop_order.domain.ports import Audit, Outbox, StockLease, StockLeases
from shop_order.domain.status import OrderStatus, RefundState
from shop_order.service.audit import UNREADABLE, check_chain

PAGE = 500
RECHECK_S = 2.0
SETTLE_S = (3.0, 5.0, 10.0, 10.0)  # how long it is waited for those who read our events from a broker
_PAID = frozenset({OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.COMPLETED})
_MOVES_BY_ITSELF = frozenset({OrderStatus.PENDING, OrderStatus.SHIPPED})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree; without `order_sn`, `what` says of whom."""

    area: str
    order_sn: str
    what: str


@dataclass(slots=True)
class Report:
    """What an examination saw.

    `paid_fen` is all money that arrived, also too late or twice; `refunded_fen` what went back of it.
    `compared` orders are counted in the order log as they are now.
    `in_flight` is on its way and will agree by itself.
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
        """Everything agrees."""
        return not self.findings

    @property
    def may_settle(self) -> bool:
        """The stock of an order may only be behind."""
        return any(finding.area == "stock" and finding.order_sn for finding in self.findings)


@dataclass(slots=True)
class Held:
    """How many of each goods the leases hold; what was sold and came back is held no more."""

    reserved: Counter[int] = field(default_factory=Counter)
    sold: Counter[int] = field(default_factory=Counter)

    def add(self, lease: StockLease) -> None:
        """One more lease; what was released holds nothing."""
        for counted, state in ((self.reserved, "reserved"), (self.sold, "confirmed")):
            for goods, nums in lease.lines:
                counted[goods] += nums if lease.state == state else 0
        for goods, nums in lease.returned:
            self.sold[goods] -= nums


class Doctor:
    """Walks all orders and all leases side by side."""

    def __init__(
        self, *, audit: Audit, outbox: Outbox, leases: StockLeases | None, log: OrderLog | None = None
    ) -> None:
        self._audit = audit
        self._outbox = outbox
        self._leases = leases
        self._log = log

    async def examine(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Report:
        """Findings that stay: orders move while the doctor looks, so what it finds is looked at twice.

        An order's stock follows its events. Published, they may still lie with a broker: a fault of stock is
        looked at again and again for half a minute.
        Raises DependencyDown if the inventory service does not answer.
        """
        report = await self._look()
        for pause_s in (RECHECK_S, *SETTLE_S):
            if report.clean or (pause_s != RECHECK_S and not report.may_settle):
                break
            await sleep(pause_s)
            again = await self._look(report.miscounted)
            again.findings &= report.findings
            report = again
        return report

    async def _look(self, miscounted: Collection[int] = ()) -> Report:
        report, held = Report(), Held()
        before = await self._counters(miscounted)
        waiting = await self._outbox.orders_waiting()
        leases = self._all_leases(held)
        lease = await anext(leases, None)
        async for order_sn, counted in self._all_orders():
            while lease is not None and lease.order_sn < order_sn:
                self._stray(report, lease)
                lease = await anext(leases, None)
            own = lease if lease is not None and lease.order_sn == order_sn else None
            order = await self._examine_order(report, order_sn, own, order_sn in waiting)
            if order is not None and counted is not None and counted.version == order.version:
                report.compared += 1
                report.findings |= {Finding("figures", order_sn, what) for what in miscounts(order, counted)}
            if own is not None:
                report.leases += 1
                lease = await anext(leases, None)
        while lease is not None:
            self._stray(report, lease)
            lease = await anext(leases, None)
        self._compare(report, held, before, await self._counters(held.reserved))
        return report

    async def _counters(self, goods_ids: Collection[int]) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        ids = sorted(goods_ids)
        for at in range(0, len(ids) if self._leases is not None else 0, PAGE):
            assert self._leases is not None
            found |= await self._leases.counters(ids[at : at + PAGE])
        return found

    def _compare(
        self,
        report: Report,
        held: Held,
        before: Mapping[int, tuple[int, int]],
        after: Mapping[int, tuple[int, int]],
    ) -> None:
        """The inventory counts what its leases hold; of goods that were sold meanwhile nobody knows."""
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
        self, report: Report, order_sn: str, lease: StockLease | None, waiting: bool
    ) -> Order | None:
        report.orders += 1
        try:
            order = await self._audit.order(order_sn)
        except UNREADABLE as altered:
            report.findings.add(Finding("history", order_sn, f"can't be read: {altered!r}"))
            return None
        chain = list(await self._audit.chain(order_sn))
        broken = check_chain(order_sn, chain, order)
        if broken:
            report.findings.add(Finding("history", order_sn, f"version {broken.version} {broken.what}"))
        if order is None:
            return None
        if not broken:
            report.findings |= {Finding("history", order_sn, what) for what in untold(order, chain)}
        report.findings |= {Finding("money", order_sn, what) for what in money_faults(order)}
        paid_fen, refunded_fen = money_of(order)
        report.paid_fen += paid_fen
        report.refunded_fen += refunded_fen
        report.in_flight += sum(r.is_open for r in order.refunds.values())
        if order.status is not OrderStatus.PENDING and order.money.open_payment():
            report.in_flight += 1
        if self._leases is not None and (fault := stock_fault(order, lease)):
            if waiting:
                report.in_flight += 1
            else:
                report.findings.add(Finding("stock", order_sn, fault))
        return order

    def _stray(self, report: Report, lease: StockLease) -> None:
        """A lease without an order: on its way, or to be given back by the check-back."""
        report.leases += 1
        if lease.state == "reserved":
            report.in_flight += 1
        elif lease.state == "confirmed":
            report.findings.add(Finding("stock", lease.order_sn, "stock was sold to no order"))

    async def _all_orders(self) -> AsyncIterator[tuple[str, Facts | None]]:
        """Every number, with what the order log counts of it.

        That is nothing where the log is being filled, and nothing any more once it did not answer.
        """
        after, log = "", self._log
        while page := await self._audit.order_sns(after, PAGE):
            counted: Mapping[str, Facts] = {}
            try:
                if log is not None and (await log.mark()).is_whole:
                    counted = await log.facts(page)
            except DependencyDown:
                log = None
            for order_sn in page:
                yield order_sn, counted.get(order_sn)
            after = page[-1]

    async def _all_leases(self, held: Held) -> AsyncIterator[StockLease]:
        after = ""
        while self._leases is not None and (page := await self._leases.leases(after, PAGE)):
            for lease in page:
                held.add(lease)
                yield lease
            after = page[-1].order_sn


def count_faults(counted: tuple[int, int], held: tuple[int, int]) -> list[str]:
    """Where the counters of reserved and sold goods are not the sums of the leases."""
    return [
        f"the inventory counts {abs(count - sum)} {'more' if count > sum else 'fewer'} {word}"
        " than its leases hold"
        for word, count, sum in zip(("reserved", "sold"), counted, held, strict=True)
        if count != sum
    ]


def untold(order: Order, chain: Sequence[Event]) -> list[str]:
    """Where the rows of an order are not what its events tell."""
    told = [(event.type, json.loads(event.payload)) for event in chain]
    placed = told[0][1]
    faults = []
    lines = [(line["goods_id"], line["nums"], line["price_fen"]) for line in placed["lines"]]
    if sorted(lines) != sorted((i.goods, i.nums, i.price_fen) for i in order.items):
        faults.append("has other items than were ordered")
    freight_fen = placed.get("freight_fen", 0)  # events of the time before there was any don't tell
    ordered = (placed["total_fen"], freight_fen, placed["pay_fen"], placed["expire_at_ms"])
    if ordered != (order.total_fen, order.freight_fen, order.pay_fen, order.expire_ms):
        faults.append("has other amounts, or another time to pay, than were ordered")
    opened = {data["payment_sn"]: data["amount_fen"] for type, data in told if type == PAYMENT_OPENED}
    if opened != {sn: payment.amount_fen for sn, payment in order.payments.items()}:
        faults.append("has other payments than its history tells of")
    refunds = {data["refund_sn"]: data["amount_fen"] for type, data in told if type == REFUND_REQUESTED}
    if refunds != {sn: refund.amount_fen for sn, refund in order.refunds.items()}:
        faults.append("has other refunds than its history tells of")
    faults += told_otherwise(order, chain)
    if (order.due_ms is not None) != (order.status in _MOVES_BY_ITSELF):
        faults.append(f"is {order.status.name} and would {'move' if order.due_ms else 'not move'} by itself")
    return faults


def told_otherwise(order: Order, chain: Sequence[Event]) -> list[str]:
    """Where money or cancellation are not what the events tell; the figures are drawn from those."""
    chapters, unreadable = chapters_of(chain, {})
    if unreadable or not chapters:
        return ["has a history that can't be counted"]
    drawn, faults = chapters[0], []
    if (drawn.facts.paid_fen, drawn.facts.refunded_fen) != money_of(order):
        faults.append("has other money than its history tells of")
    code = next((entry.reason for entry in drawn.entries if entry.action == action_of(ORDER_CANCELLED)), "")
    if order.cancel_code not in ("", code):  # an earlier version stored none
        faults.append("was cancelled by somebody else than its history tells")
    return faults


def money_of(order: Order) -> tuple[int, int]:
    """What arrived for an order, and what of that went back, in fen."""
    payments = order.payments.values()
    return sum(p.amount_fen for p in payments if p.is_paid), sum(p.refunded_fen for p in payments)


def miscounts(order: Order, counted: Facts) -> list[str]:
    """Where the figures are not what the order says."""
    paid_fen, refunded_fen = money_of(order)
    said = {
        "status": int(order.status),
        "to pay": order.pay_fen,
        "paid": paid_fen,
        "given back": refunded_fen,
    }
    found = (counted.status, counted.pay_fen, counted.paid_fen, counted.refunded_fen)
    return [
        f"the order log counts {count} as {what}, the order says {value}: run `shop-order stats rebuild`"
        for (what, value), count in zip(said.items(), found, strict=True)
        if value != count
    ]


def money_faults(order: Order) -> list[str]:
    """What of an order's amounts does not agree."""
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
        back_fen = sum(r.amount_fen for r in refunds if r.state is RefundState.SUCCEEDED)
        if back_fen != payment.refunded_fen or back_fen > payment.amount_fen:
            faults.append(f"{payment.payment_sn}: refunds of {back_fen} fen, {payment.refunded_fen} noted")
        surplus = payment.is_paid and payment.payment_sn != order.payment_sn
        if surplus and sum(r.amount_fen for r in refunds if r.surplus) != payment.amount_fen:
            faults.append(f"{payment.payment_sn}: surplus money is not on its way back")
        if any(r.state is RefundState.FAILED for r in refunds):
            faults.append(f"{payment.payment_sn}: the provider refused a refund")
    return faults


def stock_fault(order: Order, lease: StockLease | None) -> str:
    """Why the lease is not what the order needs; empty if it is."""
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
