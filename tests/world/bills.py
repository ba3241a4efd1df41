"""A provider that gives bills, and money that is to stand in them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import IO

from shop_order.domain.bill import Bill, BillLine, Mismatch, day_at
from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import BillNotOut, LinesRead, Trade, TradeState
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.gateway.payment.alipay.bill_file import bill_of
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.world.shop import ADDRESS, World

ALIPAY = PaymentType.ALIPAY
BUYER = Actor(Role.USER, 7)
TODAY = day_at(1_795_000_000_000)  # of the world
DAY = TODAY - timedelta(days=2)
MINUTE_MS = 60_000


@dataclass
class Desk:
    """A provider that gives bills of days it has, and remembers who asked."""

    bills: dict[date, list[BillLine]] = field(default_factory=dict)
    asked: list[date] = field(default_factory=list)
    fails: Exception | None = None
    there: bool = True
    max_bytes = 1000
    out_ms = 37_800_000

    def available(self) -> bool:
        return self.there

    async def bill(self, day: date, read: LinesRead) -> Bill:
        self.asked.append(day)
        if self.fails:
            raise self.fails
        if day not in self.bills:
            raise BillNotOut(day)
        return Bill(day, self.bills[day])

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        return Bill(day, [])


def alipay_bill(content: bytes, day: date, seller_id: str) -> Bill:
    """As read from a file with this content."""
    return bill_of(io.BytesIO(content), day, seller_id, lambda _: None)


async def attempt(world: World) -> Payment:
    """An open one."""
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    return (await world.payments.pay(BUYER, PayOrder(order.order_sn, ALIPAY))).result.payment


async def paid_at(world: World, ms: int) -> BillLine:
    """A payment of that moment; as the bill would have it."""
    payment = await attempt(world)
    world.provider.pay(payment.payment_sn)
    trade_no = f"T{payment.payment_sn[1:]}"
    await world.attempts.apply_trade(
        payment.payment_sn, Trade(TradeState.PAID, trade_no, payment.amount_fen, ms)
    )
    return BillLine(payment.payment_sn, trade_no, payment.amount_fen)


async def refunded_at(world: World, asked_ms: int, ended_ms: int) -> BillLine:
    """Money for a cancelled order that goes back; as the bill would have it."""
    payment = await attempt(world)
    await world.orders.cancel(BUYER, payment.order_sn)
    world.provider.pay(payment.payment_sn)
    real_ms, world.real_ms = world.real_ms, asked_ms
    fen = payment.amount_fen
    await world.attempts.apply_trade(
        payment.payment_sn, Trade(TradeState.PAID, f"T{payment.payment_sn}", fen, asked_ms)
    )
    world.real_ms = ended_ms
    assert await world.settlement.refund_due() == 1
    world.real_ms = real_ms
    (refund,) = (await world.store.orders.get(payment.order_sn)).refunds.values()
    return BillLine(payment.payment_sn, f"T{payment.payment_sn}", fen, True, refund.out_refund_no)


def reconciling(world: World, desk: Desk) -> ReconciliationService:
    """The use case, which waits for no answer."""
    return ReconciliationService(
        store=world.store.reconciliations,
        sources={ALIPAY: desk},
        real_clock=world.real_now,
        clock=world.clock,
        fence=lambda: world.store.leases.fence("reconcile"),
        warn=world.alert,
        log=world.log,
        settle_s=0.0,
    )


async def kinds(service: ReconciliationService, day: date) -> list[Mismatch]:
    return [one.kind for one in (await service.reconcile(ALIPAY, day)).shown]


async def age_h(service: ReconciliationService) -> float:
    """Of the last reconciled day."""
    ((_, age_s, _),) = await service.lag()
    return age_s / 3600
