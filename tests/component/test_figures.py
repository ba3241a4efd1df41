"""Statistics, order log, doctor and REST agree to the fen, whatever became of the refunds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.event import order_events as events
from shop_order.domain.order_log import day_of
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Line, Pricing
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import OrderRules, PlaceOrder
from shop_order.service.upkeep.doctor import Doctor
from tests.component.rest.front import Rest, admin
from tests.world.shop import ADDRESS, START_MS, World

BUYER, ADMIN = Actor(Role.USER, 7), Actor(Role.ADMIN, 1)
RULES = RefundRules(0)
SOME = RefundWish(lines=(Line(1, 1),))
ENDS = {
    "nothing": (RefundWish(amount_fen=1), ()),
    "requested": (SOME, ()),
    "rejected": (SOME, ("reject",)),
    "sent": (SOME, ("approve", "sent")),
    "part": (SOME, ("approve", "sent", "succeeded")),
    "whole": (RefundWish(), ("approve", "sent", "succeeded")),
    "settled": (SOME, ("approve", "sent", "failed", "settle")),
    "amount": (RefundWish(amount_fen=123), ("approve", "sent", "succeeded")),
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """With freight, so that parts differ from shares."""
    world = World(rules=OrderRules(pricing=Pricing(800)), stocks={1: 100, 2: 100})
    await world.open()
    yield world
    await world.close()


async def paid(world: World, *, late: bool = False) -> Order:
    """An order whose money arrived, maybe too late."""
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 2), Line(2, 3))))).result
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment
    if late:
        await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(attempt.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(attempt.payment_sn), {})
    return await world.store.orders.get(order.order_sn)


async def refunded(world: World, order: Order, wish: RefundWish, steps: tuple[str, ...]) -> None:
    """A refund by request, step by step."""
    sn, now_ms = f"R{order.order_sn}", world.clock()
    does: dict[str, Callable[..., object]] = {
        "reject": partial(after_sales.reject, actor=ADMIN, now_ms=now_ms, reason="不行"),
        "approve": partial(after_sales.approve, actor=ADMIN, now_ms=now_ms, rules=RULES),
        "sent": partial(after_sales.sent, now_ms=now_ms),
        "succeeded": partial(after_sales.succeeded, now_ms=now_ms),
        "failed": partial(after_sales.failed, now_ms=now_ms),
        "settle": partial(after_sales.settle_by_hand, actor=ADMIN, now_ms=now_ms, reason="转账"),
    }
    change = world.store.orders.change
    await change(order.order_sn, lambda o: after_sales.request_refund(o, wish, sn, BUYER, now_ms, RULES))
    for step in steps:
        await change(order.order_sn, partial(does[step], refund_sn=sn))


async def test_everybody_counts_the_same(world: World) -> None:
    orders = {name: await paid(world) for name in ENDS}
    late = await paid(world, late=True)
    await world.settlement.refund_due()
    for name, (wish, steps) in ENDS.items():
        if name != "nothing":
            await refunded(world, orders[name], wish, steps)
    pay_fen = late.pay_fen
    assert pay_fen == 2 * 1999 + 3 * 5 + 800
    wanted = (9 * pay_fen, 2 * pay_fen + 2 * 1999 + 123)
    assert [await totals(world), await figures(world)] == [wanted, wanted]
    async with Rest(world) as rest:
        total = (
            await rest.data("GET", "/admin/stats/orders", params={"start": day_of(START_MS)}, as_=admin())
        )["total"]
        assert (total["paid_fen"], total["refunded_fen"]) == wanted
        paid_fen = refunded_fen = logged_fen = 0
        for order in (*orders.values(), late):
            detail = await rest.data("GET", f"/orders/{order.order_sn}")
            paid_fen += sum(p["amount_fen"] for p in detail["payments"] if p["status"] in (2, 3))
            refunded_fen += sum(p["refunded_fen"] for p in detail["payments"])
            logs = (await rest.data("GET", f"/admin/orders/{order.order_sn}/logs", as_=admin()))["logs"]
            ends = (events.REFUND_SUCCEEDED, events.REFUND_SETTLED)
            logged_fen += sum(e["details"]["amount_fen"] for e in logs if e["action"] in ends)
        assert (paid_fen, refunded_fen, logged_fen) == (*wanted, wanted[1])


async def totals(world: World) -> tuple[int, int]:
    """Paid and refunded, as the doctor counts them; nothing else is wrong."""
    await world.order_log.rebuild()
    store = world.store
    doctor = Doctor(
        audit=store.audit, clock=world.clock, outbox=store.outbox, leases=None, log=world.log_store
    )
    report = await doctor.examine(lambda _: asyncio.sleep(0))
    assert (report.findings, report.compared) == (set(), report.orders)
    return report.paid_fen, report.refunded_fen


async def figures(world: World) -> tuple[int, int]:
    """The same, as the statistics count them."""
    total = (await world.statistics.report(day_of(START_MS))).total
    return total.paid_fen, total.refunded_fen
