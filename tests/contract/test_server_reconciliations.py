"""A process that reconciles and is paused: when it wakes up, another has done it, and it keeps nothing."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import IO

import pytest

from shop_order.domain.bill import Bill, BillLine, day_at, first_ms
from shop_order.domain.ports import LeaseLost, LinesRead
from shop_order.domain.status import PaymentType
from shop_order.repository.dao.store import Store
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.contract.engine import NOW_MS, Engine

ALIPAY = PaymentType.ALIPAY
DAY = day_at(NOW_MS - 3 * 86_400_000)
LEASE = "reconcile"


class Desk:
    """Gives one bill, once it may."""

    max_bytes = 1000
    out_ms = 37_800_000

    def __init__(self, *lines: BillLine, paused: bool = False) -> None:
        self.lines = lines
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        if not paused:
            self.go_on.set()

    def available(self) -> bool:
        return True

    async def bill(self, day: date, read: LinesRead) -> Bill:
        self.asked.set()
        await self.go_on.wait()
        return Bill(day, self.lines)

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        raise AssertionError("nobody brings a file")


def reconciling(store: Store, desk: Desk) -> ReconciliationService:
    """The use case of one process."""
    return ReconciliationService(
        store=store.reconciliations,
        sources={ALIPAY: desk},
        real_clock=lambda: first_ms(DAY) + 4 * 86_400_000,
        clock=lambda: NOW_MS,
        fence=lambda: store.leases.fence(LEASE),
        warn=lambda *_, **__: None,
        log=lambda *_, **__: None,
        settle_s=0.0,
    )


async def test_who_was_paused_in_a_reconciliation_overwrites_nothing(server: Engine) -> None:
    ours = server.store
    assert await ours.leases.hold(LEASE)
    desk = Desk(BillLine("P-of-nobody", "T1", 5), paused=True)
    holder = asyncio.create_task(reconciling(ours, desk).reconcile(ALIPAY, DAY))
    await asyncio.wait_for(desk.asked.wait(), 5)
    server.sql("UPDATE job_lease SET until_ms = 1 WHERE name = ?", LEASE)
    other = await server.open()
    assert await other.leases.hold(LEASE)
    assert (await reconciling(other, Desk()).reconcile(ALIPAY, DAY)).differences == 0
    before = server.sql("SELECT * FROM reconciliation")
    desk.go_on.set()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(holder, 5)
    assert server.sql("SELECT * FROM reconciliation") == before
    assert len(before) == 1


async def test_what_the_next_holder_finds_takes_the_place_of_the_first(server: Engine) -> None:
    assert await server.store.leases.hold(LEASE)
    await reconciling(server.store, Desk()).reconcile(ALIPAY, DAY)
    server.sql("UPDATE job_lease SET until_ms = 1 WHERE name = ?", LEASE)
    other = await server.open()
    assert await other.leases.hold(LEASE)
    desk = Desk(BillLine("P-of-nobody", "T1", 5))
    await reconciling(other, desk).reconcile(ALIPAY, DAY)
    assert server.sql("SELECT differences, fence FROM reconciliation") == [(1, 2)]
