"""What a provider limits to minutes is opened anew; what lasts as long as the attempt is shown again."""

from __future__ import annotations

import pytest

from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import TradeTypes
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)
FOUR_MINUTES_MS = 240_000


async def test_a_link_that_no_longer_works_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    types = TradeTypes(("page", "wap"), link_ms={"wap": FOUR_MINUTES_MS})
    monkeypatch.setattr(world.provider, "trade_types", types, raising=False)
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result

    async def pay(trade_type: str) -> Payment:
        command = PayOrder(order.order_sn, PaymentType.ALIPAY, trade_type)
        return (await world.payments.pay(BUYER, command)).result.payment

    first = await pay("wap")
    world.provider.scan(first.payment_sn)
    world.real_ms += FOUR_MINUTES_MS - 1
    assert (await pay("wap")).payment_sn == first.payment_sn
    world.real_ms += 1
    second = await pay("wap")
    assert second.payment_sn != first.payment_sn
    stored = (await world.store.orders.get(order.order_sn)).payments
    assert (stored[first.payment_sn].state, second.state) == (PaymentState.CLOSED, PaymentState.PENDING)
    page = await pay("page")
    world.real_ms += 10 * FOUR_MINUTES_MS // 2
    assert (await pay("page")).payment_sn == page.payment_sn
