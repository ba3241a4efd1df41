"""What the suites of the archive share: orders in every end, and the walk over them."""

from __future__ import annotations

import asyncio

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.ports import OnUnreadable
from shop_order.domain.status import RefundState
from shop_order.repository.dao.rows import HISTORY, LIVE
from shop_order.repository.dao.store import Store
from shop_order.service.upkeep.archive import ArchiveService
from shop_order.service.upkeep.audit import AuditService
from shop_order.service.upkeep.doctor import Doctor
from tests.contract.engine import BUYER, DAY_MS, NOW_MS, added, late_clock, opened, paid

LATER_MS = NOW_MS + 100 * DAY_MS
PAIRS = list(
    zip(
        (LIVE.orders, LIVE.items, LIVE.payments, LIVE.refunds),
        (HISTORY.orders, HISTORY.items, HISTORY.payments, HISTORY.refunds),
        strict=True,
    )
)


def archiving(
    store: Store, now_ms: int = LATER_MS, days: int = 30, on_unreadable: OnUnreadable = print
) -> ArchiveService:
    """The use case, some time later."""
    return ArchiveService(
        archive=store.archive, on_unreadable=on_unreadable, clock=lambda: now_ms, after_days=lambda: days
    )


async def archive_all(store: Store, now_ms: int = LATER_MS, days: int = 30) -> int:
    """Walk to the end; how many were archived."""
    service, archived = archiving(store, now_ms, days), 0
    while True:
        walked = await service.run_once(days)
        archived += walked.archived
        if walked.is_last:
            return archived


async def completed(store: Store, *lines: tuple[int, int], user: int = 7) -> Order:
    """An order with a closed and a paid attempt, shipped and received."""
    new = await added(store, *lines, user=user)
    first = await opened(store, new)
    await store.orders.change(new.order_sn, lambda o: o.close_attempt(first.payment_sn, BUYER, NOW_MS))
    await store.payments.stop_queries(first.closed(), first.grace_end_ms)
    await paid(store, new, await opened(store, new))
    await store.orders.change(
        new.order_sn, lambda o: o.ship("顺丰", "SF1", BUYER, NOW_MS, auto_confirm_ms=DAY_MS)
    )
    return (await store.orders.change(new.order_sn, lambda o: o.complete(BUYER, NOW_MS)))[0]


async def cancelled(store: Store, user: int = 7) -> Order:
    """An order given up, with an attempt that was closed, and whose provider was asked for the last time."""
    new = await added(store, user=user)
    payment = await opened(store, new)
    await store.orders.change(new.order_sn, lambda o: o.close_attempt(payment.payment_sn, BUYER, NOW_MS))
    await store.payments.stop_queries(payment.closed(), payment.grace_end_ms)

    def cancel(o: Order) -> None:
        o.cancel("不要了", BUYER, NOW_MS, code="BUYER")

    return (await store.orders.change(new.order_sn, cancel))[0]


async def late_money(store: Store, of: Order) -> Order:
    """Money for the attempt of a cancelled order: it is given back."""
    (payment,) = of.payments.values()
    return await paid(store, of, payment, LATER_MS)


async def give_back(store: Store, of: Order, *, ends: RefundState = RefundState.SUCCEEDED) -> Order:
    """The refund of surplus money comes to its end."""
    (refund,) = of.refunds.values()
    await store.orders.change(of.order_sn, lambda o: after_sales.sent(o, refund.refund_sn, LATER_MS))

    def end(o: Order) -> None:
        if ends is RefundState.SUCCEEDED:
            after_sales.succeeded(o, refund.refund_sn, LATER_MS)
        else:
            after_sales.failed(o, refund.refund_sn, LATER_MS)

    return (await store.orders.change(of.order_sn, end))[0]


async def clean(store: Store) -> bool:
    """Whether chains, money and rows agree, seen by the audit and the doctor."""
    report = await Doctor(audit=store.audit, clock=late_clock, outbox=store.outbox, leases=None).examine(
        lambda _: asyncio.sleep(0)
    )
    walked, broken = await AuditService(store.audit, late_clock).verify()
    return report.clean and not broken and walked == report.orders
