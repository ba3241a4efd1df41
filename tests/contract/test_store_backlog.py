"""What operators watch: whatever should have gone on by itself is counted, and since when."""

from __future__ import annotations

from collections.abc import Callable

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.ports import OverdueWork
from shop_order.domain.valueobject.parties import SYSTEM
from shop_order.repository.dao.store import Store
from tests.contract.engine import BUYER, DAY_MS, NOW_MS, added, opened, paid

NOTHING = [OverdueWork(what, 0, 0) for what in ("order", "payment", "refund", "refund_decision")]


async def test_nothing_is_behind_before_its_time(store: Store) -> None:
    assert await store.backlog.overdue(NOW_MS) == NOTHING
    new = await added(store)
    await opened(store, new)
    bought = await added(store)
    await paid(store, bought, await opened(store, bought))
    assert await store.backlog.overdue(NOW_MS) == NOTHING


async def test_an_order_whose_time_is_over_is_behind_until_it_is_decided(store: Store) -> None:
    first, second = await added(store, now_ms=NOW_MS), await added(store, now_ms=NOW_MS + 7)
    later_ms = second.expire_ms + 1
    assert (await store.backlog.overdue(first.expire_ms - 1))[0] == OverdueWork("order", 0, 0)
    assert (await store.backlog.overdue(later_ms))[0] == OverdueWork("order", 2, first.expire_ms)
    await store.orders.change(first.order_sn, lambda o: o.cancel("", BUYER, later_ms, code="TIMEOUT"))
    assert (await store.backlog.overdue(later_ms))[0] == OverdueWork("order", 1, second.expire_ms)


async def test_an_attempt_is_behind_when_its_time_is_over_and_nobody_knows_its_end(store: Store) -> None:
    new = await added(store)
    attempt = await opened(store, new)
    over_ms = attempt.expire_ms
    assert (await store.backlog.overdue(over_ms - 1))[1] == OverdueWork("payment", 0, 0)
    assert (await store.backlog.overdue(over_ms))[1] == OverdueWork("payment", 1, over_ms)
    await paid(store, new, attempt)
    assert (await store.backlog.overdue(over_ms))[1] == OverdueWork("payment", 0, 0)


async def test_a_refund_is_behind_while_it_is_due(store: Store) -> None:
    new = await added(store)
    order, sn = await paid(store, new, await opened(store, new)), f"R{new.order_sn}"
    later_ms = NOW_MS + 3 * DAY_MS

    async def step(decide: Callable[[Order], object]) -> None:
        await store.orders.change(order.order_sn, decide)

    async def behind(now_ms: int) -> OverdueWork:
        return (await store.backlog.overdue(now_ms))[2]

    nothing, rules = OverdueWork("refund", 0, 0), RefundRules(0)
    await step(lambda o: after_sales.request_refund(o, RefundWish(), sn, BUYER, NOW_MS, rules))
    assert await behind(later_ms) == nothing, "nobody has decided"
    await step(lambda o: after_sales.approve(o, sn, SYSTEM, later_ms, rules))
    assert await behind(later_ms) == OverdueWork("refund", 1, later_ms), "from its approval on"
    await store.payments.postpone_refund(sn, later_ms + 5_000)
    await step(lambda o: after_sales.sent(o, sn, later_ms))
    assert await behind(later_ms + 4_999) == nothing, "its provider is at work"
    assert await behind(later_ms + 60_000) == OverdueWork("refund", 1, later_ms + 5_000), "nobody asks it"
    await step(lambda o: after_sales.succeeded(o, sn, later_ms))
    assert await behind(later_ms + DAY_MS) == nothing


async def test_a_request_waits_until_an_admin_decides(store: Store) -> None:
    new = await added(store)
    order, sn = await paid(store, new, await opened(store, new)), f"R{new.order_sn}"
    ask, rules = RefundWish(), RefundRules(0)
    await store.orders.change(
        order.order_sn, lambda o: after_sales.request_refund(o, ask, sn, BUYER, NOW_MS, rules)
    )
    assert (await store.backlog.overdue(NOW_MS + 9))[3] == OverdueWork("refund_decision", 1, NOW_MS)
    await store.orders.change(order.order_sn, lambda o: after_sales.reject(o, sn, BUYER, NOW_MS, reason="no"))
    assert await store.backlog.overdue(NOW_MS + 9) == NOTHING
