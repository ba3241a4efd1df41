"""Orders whose time is over do not wait for each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.ports import Trade
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.actor import Actor, Role
from shop_order.domain.valueobject.item import Line
from shop_order.service.order import PlaceOrder
from shop_order.service.payment import PayOrder
from tests.world.shop import ADDRESS, World


async def placed(world: World, user: int) -> Order:
    return (await world.orders.place(Actor(Role.USER, user), PlaceOrder(ADDRESS, (Line(1, 1),)))).result


async def status(world: World, order: Order) -> OrderStatus:
    return (await world.store.orders.get(order.order_sn)).status


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


async def test_a_provider_that_hangs_holds_up_only_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, other = await placed(world, 7), await placed(world, 8)
    await world.payments.pay(Actor(Role.USER, 7), PayOrder(asked.order_sn, PaymentType.ALIPAY))
    hanging = asyncio.Event()

    async def query(payment_sn: str) -> Trade:
        await hanging.wait()
        return Trade("unknown")

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
