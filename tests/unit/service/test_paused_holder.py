"""Who was paused in the middle of a job, and wakes up when another has done it, changes nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from operator import attrgetter
from typing import Any

import pytest

from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.ed25519 import Ed25519Keys, new_private_pem
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.upkeep.archive import ArchiveService
from shop_order.service.upkeep.daily_root import JOB, DailyRoot
from shop_order.service.upkeep.orderlog import OrderLogService
from tests.world.shop import ADDRESS, START_MS, World

BUYER = Actor(Role.USER, 7)
DAY_S = 86_400
KEYS = Ed25519Keys(new_private_pem())
Job = Callable[[World], Awaitable[object]]


def archive(world: World) -> Awaitable[object]:
    """The walk of a new process."""
    return ArchiveService(
        archive=world.store.archive,
        on_unreadable=world.unreadable.report,
        clock=world.clock,
        after_days=lambda: 1,
    ).run_once(1)


def order_log(world: World) -> Awaitable[object]:
    """The feed of a new process."""
    return OrderLogService(
        feed=world.store.feed,
        log=world.log_store,
        history=world.store.audit,
        alert=world.alert,
        clock=world.clock,
        keep_days=lambda: 0,
    ).run_once()


def daily_root(world: World) -> Awaitable[object]:
    """The sealing of a new process, which takes the lease over."""

    async def database_ms() -> int:
        return START_MS

    sealer = DailyRoot(
        roots=world.store.roots,
        keys=KEYS,
        real_clock=lambda: START_MS,
        database_ms=database_ms,
        alert=world.alert,
    )
    return sealer.step(world.store.leases.fence(JOB))


JOBS: dict[str, Job] = {
    "timeout": lambda world: world.timeout.run_once(),
    "ask": lambda world: world.settlement.query_due(),
    "refund": lambda world: world.settlement.refund_due(),
    "relay": lambda world: world.relay.run_once(),
    "order_log": order_log,
    "archive": archive,
    "daily_root": daily_root,
}
READS = [
    ("timeout", "store.orders.due"),
    ("timeout", "store.orders.get"),
    ("ask", "store.payments.due_queries"),
    ("ask", "provider.query"),
    ("refund", "store.payments.due_refunds"),
    ("refund", "provider.refund"),
    ("relay", "store.outbox.take"),
    ("relay", "inboxes.deliver"),
    ("order_log", "log_store.backfill"),
    ("order_log", "log_store.summaries"),
    ("order_log", "store.feed.take"),
    ("order_log", "store.feed.events"),
    ("archive", "store.archive.oldest"),
    ("daily_root", "store.roots.last"),
    ("daily_root", "store.roots.leaves"),
]


class Paused:
    """Whoever asks first is paused with the answer until `go_on`; all others are answered."""

    def __init__(self, read: Callable[..., Awaitable[object]]) -> None:
        self._read = read
        self.with_it = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, *values: Any, **named: Any) -> object:
        found = await self._read(*values, **named)
        if not self.with_it.is_set():
            self.with_it.set()
            await self.go_on.wait()
        return found


async def work_for_every_job(world: World) -> None:
    """An order that runs out, one whose notice was lost, and one whose money came too late."""
    unpaid, asked, late = [
        (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result for _ in range(3)
    ]
    payments = [
        (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment
        for order in (asked, late)
    ]
    await world.orders.cancel(BUYER, late.order_sn)
    for payment in payments:
        assert world.provider.pay(payment.payment_sn)
    await world.attempts.apply_trade(
        payments[1].payment_sn, await world.provider.query(payments[1].payment_sn)
    )
    assert (await world.store.orders.get(unpaid.order_sn)).status is OrderStatus.PENDING
    await world.clock.advance(1800)


async def all_jobs(world: World) -> None:
    """Another process does all there is to do, also what lies days ahead."""
    for _ in range(3):
        for name in ("timeout", "ask", "refund", "relay", "order_log"):
            await JOBS[name](world)
        await world.clock.advance(120)


def stored(world: World) -> list[str]:
    """Every row of every database: ours, the log's and the neighbours'."""
    rows: list[str] = []
    for path in sorted(world.folder.rglob("*.db")):
        with closing(sqlite3.connect(path)) as connection:
            rows += connection.iterdump()
    return rows


@pytest.mark.parametrize(("job", "read"), READS)
async def test_who_was_paused_with_what_it_read_changes_nothing_after_another_did_the_job(
    world: World, job: str, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await work_for_every_job(world)
    if job == "order_log":
        await JOBS["relay"](world)
    if job == "archive":
        await all_jobs(world)
        await world.clock.advance(2 * DAY_S)
    where, _, method = read.rpartition(".")
    paused = Paused(attrgetter(read)(world))
    monkeypatch.setattr(attrgetter(where)(world), method, paused)
    holder = asyncio.ensure_future(JOBS[job](world))
    await asyncio.wait_for(paused.with_it.wait(), 5)
    await all_jobs(world)
    if job in ("archive", "daily_root"):
        await JOBS[job](world)
    before, held_fen = stored(world), [a.holds_fen for a in world.provider.ledger.values()]
    paused.go_on.set()
    await asyncio.wait_for(holder, 5)
    assert stored(world) == before
    assert [a.holds_fen for a in world.provider.ledger.values()] == held_fen
    assert sorted(held_fen) == [0, 1999], "one paid for its order, the other got its money back"
