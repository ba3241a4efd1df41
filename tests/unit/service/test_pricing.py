"""Rules of pricing that change while orders are placed, repeated and examined."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import pytest

from shop_order.domain.comparison import state_faults
from shop_order.domain.event.order_events import ORDER_CREATED, NewEvent, payload, seal
from shop_order.domain.ports import OrderFilter
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Line, Pricing
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import OrderRules, PlaceOrder
from shop_order.service.upkeep.doctor import Doctor, DoctorReport
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)
ONE = PlaceOrder(ADDRESS, (Line(1, 1),))
DEAR = OrderRules(pricing=Pricing(800))


async def examined(world: World) -> DoctorReport:
    async def at_once(seconds: float) -> None: ...

    return await Doctor(
        audit=world.store.audit, clock=world.clock, outbox=world.store.outbox, leases=None
    ).examine(at_once)


async def test_rules_that_are_swapped_while_an_order_is_placed_are_the_next_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_unpaid = world.store.orders.count_unpaid

    async def swapped_meanwhile(user: int) -> int:
        world.rules = DEAR
        return await count_unpaid(user)

    monkeypatch.setattr(world.store.orders, "count_unpaid", swapped_meanwhile)
    first = (await world.placing.place(BUYER, ONE)).result
    second = (await world.placing.place(BUYER, ONE)).result
    assert [(o.freight_fen, o.pay_fen) for o in (first, second)] == [(0, 1999), (800, 2799)]


async def test_a_repeated_command_finds_its_order_as_it_was_priced(world: World) -> None:
    world.rules = DEAR
    command = PlaceOrder(ADDRESS, (Line(1, 1),), key="k", expected_fen=2799)
    first = await world.placing.place(BUYER, command)
    world.rules = OrderRules(pricing=Pricing(1200))
    again = await world.placing.place(BUYER, command)
    assert again.replayed
    assert again.result.order_sn == first.result.order_sn
    assert (again.result.freight_fen, again.result.pay_fen) == (800, 2799)
    listed = (await world.orders.list(BUYER, OrderFilter())).orders
    assert [order.freight_fen for order in listed] == [800]


async def test_the_provider_is_asked_for_goods_and_freight(world: World) -> None:
    world.rules = DEAR
    order = (await world.placing.place(BUYER, ONE)).result
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result
    world.provider.pay(attempt.payment.payment_sn)
    assert world.provider.ledger[attempt.payment.payment_sn].holds_fen == 2799
    notice = world.provider.notice(attempt.payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})
    assert (await world.orders.get(BUYER, order.order_sn)).payment_sn == attempt.payment.payment_sn
    assert (await examined(world)).clean


async def test_the_cart_tells_the_freight_of_what_is_checked(world: World) -> None:
    world.rules = OrderRules(pricing=Pricing(800, 4000, {"新疆": 1500, "浙江": 0}))
    assert (await world.carts.view(BUYER)).checked_freight_fen == 0
    await world.carts.add(BUYER, 1, 2)
    view = await world.carts.view(BUYER)
    assert (view.checked_total_fen, view.checked_freight_fen) == (3998, 800)
    await world.carts.add(BUYER, 1, 1)
    assert (await world.carts.view(BUYER)).checked_freight_fen == 0
    await world.carts.check(BUYER, False)
    assert (await world.carts.view(BUYER)).checked_freight_fen == 0


async def test_the_doctor_finds_freight_that_was_edited_where_the_sums_still_agree(world: World) -> None:
    world.rules = DEAR
    order = (await world.placing.place(BUYER, ONE)).result
    assert (await examined(world)).clean
    connection = sqlite3.connect(world.path)
    with connection:
        connection.execute("UPDATE order_info SET freight_fen = 900, discount_fen = 100")
    connection.close()
    assert {finding.order_sn for finding in (await examined(world)).findings} == {order.order_sn}


async def test_an_event_of_the_time_before_freight_is_still_read(world: World) -> None:
    order = (await world.placing.place(BUYER, ONE)).result
    (stored,) = await world.store.audit.stored([order.order_sn])
    told = json.loads(stored.chain[0].payload)
    del told["freight_fen"]
    old = NewEvent(1, ORDER_CREATED, payload(told), order.created_ms)
    chain = [seal(old, id=1, order_sn=order.order_sn, prev_hash=bytes(32))]
    assert state_faults(replace(stored, chain=chain, waiting=()), world.clock()) == []
    dearer = replace(stored, chain=chain, waiting=(), row={**stored.row, "freight_fen": 800})
    assert state_faults(dearer, world.clock()) == ["freight_fen is 800, its history says 0"]
