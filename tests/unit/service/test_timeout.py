"""What moves by itself does not wait for what can't: orders whose time is over, attempts, refunds."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import OrderFilter, Trade, TradeState
from shop_order.domain.status import OrderStatus, PaymentType, RefundState
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.alerts import REPEAT_MS
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.upkeep.timeout import BATCH
from tests.world.shop import ADDRESS, World


async def placed(world: World, user: int) -> Order:
    return (await world.placing.place(Actor(Role.USER, user), PlaceOrder(ADDRESS, (Line(3, 1),)))).result


async def attempted(world: World, order: Order) -> Payment:
    command = PayOrder(order.order_sn, PaymentType.ALIPAY)
    return (await world.payments.pay(Actor(Role.USER, order.user), command)).result.payment


async def status(world: World, order: Order) -> OrderStatus:
    return (await world.store.orders.get(order.order_sn)).status


def altered(world: World, statement: str, *numbers: str) -> None:
    """Somebody writes past the service."""
    connection = sqlite3.connect(world.path)
    with connection:
        connection.executemany(statement, [(number,) for number in numbers])
    connection.close()


async def test_one_that_can_not_be_decided_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = await placed(world, 7), await placed(world, 8)
    change = world.store.orders.change

    async def breaking(order_sn: str, *args: Any, **how: Any) -> Any:
        if order_sn == broken.order_sn:
            raise ValueError("a row that somebody edited by hand")
        return await change(order_sn, *args, **how)

    monkeypatch.setattr(world.store.orders, "change", breaking)
    await world.clock.advance(1800)
    with pytest.raises(ValueError, match="by hand"):
        await world.timeout.run_once()
    assert await status(world, other) is OrderStatus.CANCELLED


async def test_more_unreadable_orders_than_a_batch_hold_up_nobody_and_are_told_of_once(world: World) -> None:
    bad = [await placed(world, 100 + n) for n in range(BATCH + 8)]
    good = await placed(world, 8)
    altered(world, "UPDATE order_info SET pay_type = 'shells' WHERE order_sn = ?", *(o.order_sn for o in bad))
    await world.clock.advance(1800)
    for _ in range(2):
        assert await world.timeout.run_once() == 0
        assert world.timeout.has_more(0)
        left = int(await status(world, good) is OrderStatus.PENDING)
        assert await world.timeout.run_once() == left
        assert not world.timeout.has_more(0), "the next walk waits"
    assert await status(world, good) is OrderStatus.CANCELLED
    told = [about["number"] for name, about in world.alerts if name == "row_unreadable"]
    assert sorted(map(str, told)) == sorted(order.order_sn for order in bad), "each once, in two walks"
    world.real_ms += REPEAT_MS
    await world.timeout.run_once()
    assert len(world.alerts) == len(bad) + BATCH


async def test_orders_that_can_not_be_decided_now_hold_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {(await placed(world, 100 + n)).order_sn for n in range(BATCH)}
    good = await placed(world, 8)
    change = world.store.orders.change

    async def breaking(order_sn: str, *args: Any, **how: Any) -> Any:
        if order_sn in broken:
            raise DependencyDown("payment_provider")
        return await change(order_sn, *args, **how)

    monkeypatch.setattr(world.store.orders, "change", breaking)
    await world.clock.advance(1800)
    with pytest.raises(DependencyDown):
        await world.timeout.run_once()
    assert await world.timeout.run_once() == 1
    assert await status(world, good) is OrderStatus.CANCELLED
    monkeypatch.undo()
    assert await world.timeout.run_once() == BATCH, "the next walk finds them again"


async def test_attempts_and_refunds_of_rows_that_can_not_be_read_hold_up_no_others(world: World) -> None:
    payments = []
    for user in range(100, 100 + BATCH + 2):
        order = await placed(world, user)
        payments.append(await attempted(world, order))
    *bad, good = payments
    altered(world, "UPDATE payment SET state = 'shells' WHERE payment_sn = ?", *(p.payment_sn for p in bad))
    world.provider.pay(good.payment_sn)
    await world.clock.advance(60)
    assert await world.settlement.query_due() == BATCH
    assert await world.settlement.query_due() == len(payments) - BATCH
    assert await world.settlement.query_due() == 0, "they come again later and later"
    assert (await world.store.orders.get(good.order_sn)).status is OrderStatus.PAID
    told = {about["number"] for name, about in world.alerts if name == "row_unreadable"}
    assert told == {p.payment_sn for p in bad}


async def test_a_refund_of_an_order_that_can_not_be_read_holds_up_no_other(world: World) -> None:
    orders = []
    for user in (7, 8):
        order = await placed(world, user)
        payment = await attempted(world, order)
        await world.orders.cancel(Actor(Role.USER, user), order.order_sn)
        world.provider.pay(payment.payment_sn)
        notice = world.provider.notice(payment.payment_sn)
        await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})
        orders.append(order)
    altered(world, "UPDATE order_info SET pay_type = 'shells' WHERE order_sn = ?", orders[0].order_sn)
    assert await world.settlement.refund_due() == 2
    (refund,) = (await world.store.orders.get(orders[1].order_sn)).refunds.values()
    assert refund.state is RefundState.SUCCEEDED
    assert [name for name, _ in world.alerts] == ["row_unreadable"]
    assert await world.settlement.refund_due() == 0


async def test_a_list_goes_on_without_an_order_that_can_not_be_read_and_says_so_to_the_operator(
    world: World,
) -> None:
    bad, good = await placed(world, 7), await placed(world, 7)
    altered(world, "UPDATE order_info SET pay_type = 'shells' WHERE order_sn = ?", bad.order_sn)
    for _ in range(3):
        page = await world.orders.list(Actor(Role.USER, 7), OrderFilter())
        assert [order.order_sn for order in page.orders] == [good.order_sn]
    assert [(name, about["number"]) for name, about in world.alerts] == [("row_unreadable", bad.order_sn)]


async def test_a_provider_that_hangs_holds_up_only_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, other = await placed(world, 7), await placed(world, 8)
    await world.payments.pay(Actor(Role.USER, 7), PayOrder(asked.order_sn, PaymentType.ALIPAY))
    hanging = asyncio.Event()

    async def query(payment_sn: str) -> Trade:
        await hanging.wait()
        return Trade(TradeState.UNKNOWN)

    monkeypatch.setattr(world.provider, "query", query)
    await world.clock.advance(1800)
    scan = asyncio.create_task(world.timeout.run_once())
    async with asyncio.timeout(5):
        while await status(world, other) is OrderStatus.PENDING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await status(world, asked) is OrderStatus.PENDING
    hanging.set()
    assert await scan == 2
    assert await status(world, asked) is OrderStatus.CANCELLED
