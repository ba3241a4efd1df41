"""A provider that keeps our money until the goods are on their way is told so, at last, and once."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from shop_order.domain.entity.after_sales import RefundWish
from shop_order.domain.entity.payment import Payment
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.service.channels import Channels
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.refund import RequestRefund
from shop_order.service.shipping import MANY_TRIES
from tests.world.provider import Mini
from tests.world.shop import ADDRESS, World

BUYER, ADMIN = Actor(Role.USER, 7), Actor(Role.ADMIN, 1)
HOUR_MS = 3_600_000


@pytest.fixture
def mini(world: World) -> Mini:
    found = Mini()
    channels = Channels({PaymentType.WECHAT: found})
    for service in (world.payments, world.attempts, world.settlement, world.settlement.shipping):
        service.channels = channels
    return found


async def paid(world: World, mini: Mini, trade_type: str = "mini") -> Payment:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    command = PayOrder(order.order_sn, PaymentType.WECHAT, trade_type)
    payment = (await world.payments.pay(BUYER, command)).result.payment
    mini.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.WECHAT, mini.notice(payment.payment_sn), {})
    return payment


async def ship(world: World, payment: Payment) -> None:
    await world.orders.ship(ADMIN, payment.order_sn, "顺丰", "SF1")


async def settle(world: World, hours: int = 1) -> None:
    """What the job does in that time."""
    for _ in range(hours):
        world.real_ms += HOUR_MS
        await world.settlement.query_due()


async def test_it_is_told_when_the_order_ships_and_not_before(world: World, mini: Mini) -> None:
    payment = await paid(world, mini)
    await settle(world)
    assert mini.told == []
    await ship(world, payment)
    asked = list(mini.asked)
    assert await world.settlement.query_due() == 1
    [(payment_sn, shipment)] = mini.told
    assert (payment_sn, shipment.company, shipment.number) == (payment.payment_sn, "顺丰", "SF1")
    assert (shipment.phone, shipment.subject) == (ADDRESS.phone, shipment.subject)
    await settle(world, 3)
    assert (len(mini.told), mini.asked) == (1, asked)


async def test_other_trade_types_have_nothing_to_tell(world: World, mini: Mini) -> None:
    await ship(world, await paid(world, mini, "native"))
    assert await world.settlement.query_due() == 0
    assert mini.told == []


async def test_it_is_told_again_until_it_is_taken_and_an_operator_learns_it(world: World, mini: Mini) -> None:
    mini.works = False
    await ship(world, payment := await paid(world, mini))
    await settle(world, MANY_TRIES)
    assert (len(mini.told), world.alerts) == (MANY_TRIES, [])
    await settle(world)
    assert [(name, about["payment_sn"]) for name, about in world.alerts] == [
        ("shipping_untold", payment.payment_sn)
    ]
    mini.works = True
    await settle(world, 3)
    assert len(mini.told) == MANY_TRIES + 2


async def test_what_is_not_told_yet_is_no_fault_of_the_history(world: World, mini: Mini) -> None:
    mini.works = False
    await ship(world, await paid(world, mini))
    assert (await world.audit.verify())[1] == []
    await settle(world)
    assert (await world.audit.verify())[1] == []
    mini.works = True
    await settle(world)
    assert (await world.audit.verify())[1] == [], "told"


async def rewrite(world: World, sql: str) -> None:
    """What whoever has the file can do."""
    connection = sqlite3.connect(world.path)
    connection.execute(sql)
    connection.commit()
    connection.close()


async def events(world: World, payment: Payment) -> list[str]:
    return [event.type for event in await world.store.orders.history(payment.order_sn)]


async def refund_a_fen(world: World, payment: Payment) -> None:
    command = RequestRefund(payment.order_sn, RefundWish(amount_fen=1))
    refund = (await world.refunds.request(BUYER, command)).result
    await world.refunds.approve(ADMIN, refund.refund_sn)
    await world.settlement.refund_due()


FORGET = "UPDATE payment SET ask_ms = NULL"


async def test_whoever_stops_the_telling_is_found(world: World, mini: Mini) -> None:
    mini.works = False
    payment = await paid(world, mini)
    await ship(world, payment)
    await settle(world)
    await rewrite(world, FORGET)
    assert await world.settlement.query_due() == 0, "WeChat never learns it"
    (found,) = (await world.audit.verify())[1]
    assert (found.order_sn, found.what) == (
        payment.order_sn,
        f"payment {payment.payment_sn}: ask_ms is None, though its history schedules a job",
    )


async def test_the_history_says_once_that_it_was_told(world: World, mini: Mini) -> None:
    payment = await paid(world, mini)
    await ship(world, payment)
    await settle(world)
    assert (await events(world, payment)).count("payment.shipping_told") == 1
    told = len(mini.told)
    # As if the process had died before it noted that nothing is left to do.
    await rewrite(world, f"UPDATE payment SET ask_ms = {world.clock()}")
    assert (await world.audit.verify())[1] == []
    await settle(world, 2)
    assert ((await events(world, payment)).count("payment.shipping_told"), len(mini.told)) == (1, told)
    await rewrite(world, FORGET)
    assert (await world.audit.verify())[1] == []


async def test_a_part_that_is_refunded_changes_nothing_about_it(world: World, mini: Mini) -> None:
    payment = await paid(world, mini)
    await ship(world, payment)
    await settle(world)
    await refund_a_fen(world, payment)
    assert (await world.audit.verify())[1] == []
    await settle(world)
    assert (len(mini.told), (await world.audit.verify())[1]) == (1, [])


async def test_a_part_that_is_refunded_before_it_was_told_stops_no_telling(world: World, mini: Mini) -> None:
    mini.works = False
    payment = await paid(world, mini)
    await ship(world, payment)
    await settle(world)
    await refund_a_fen(world, payment)
    assert (await world.audit.verify())[1] == []
    mini.works = True
    await settle(world)
    assert len(mini.told) == 2
    assert (await events(world, payment)).count("payment.shipping_told") == 1


async def test_the_tries_of_its_payment_are_not_those_of_the_telling(world: World, mini: Mini) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    payment = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.WECHAT, "mini"))).result
    for _ in range(20):
        world.real_ms += 60_000
        await world.settlement.query_due()
    assert mini.asked.count(payment.payment.payment_sn) == MANY_TRIES
    mini.pay(payment.payment.payment_sn)
    await world.payments.provider_notice(PaymentType.WECHAT, mini.notice(payment.payment.payment_sn), {})
    mini.works = False
    await ship(world, payment.payment)
    await settle(world, 3)
    assert (len(mini.told), world.alerts) == (3, [])


async def test_a_channel_that_is_gone_is_told_of(world: World, mini: Mini) -> None:
    await ship(world, payment := await paid(world, mini))
    world.settlement.shipping.channels = Channels({})
    await settle(world, MANY_TRIES + 1)
    assert [name for name, _ in world.alerts] == ["shipping_untold"]
    world.settlement.shipping.channels = world.settlement.channels
    await settle(world)
    assert [payment_sn for payment_sn, _ in mini.told] == [payment.payment_sn]


async def test_a_restart_forgets_nothing(world: World, mini: Mini) -> None:
    mini.works = False
    await ship(world, await paid(world, mini))
    await settle(world)
    await world.restart()
    world.settlement.channels = world.settlement.shipping.channels = Channels({PaymentType.WECHAT: mini})
    mini.works = True
    await settle(world)
    assert len(mini.told) == 2


@pytest.mark.parametrize("step", ["postpone_query", "stop_queries"])
async def test_shipping_just_as_its_query_is_answered_is_told(
    world: World, mini: Mini, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    command = PayOrder(order.order_sn, PaymentType.WECHAT, "mini")
    payment = (await world.payments.pay(BUYER, command)).result.payment
    now_ms = world.clock()
    await world.store.orders.change(
        order.order_sn, lambda o: o.close_attempt(payment.payment_sn, SYSTEM, now_ms)
    )
    await world.store.payments.request_query(payment.payment_sn, now_ms)
    mini.pay(payment.payment_sn)
    take_step = getattr(world.store.payments, step)

    async def shipped_before(*args: Any) -> None:
        monkeypatch.undo()
        await world.payments.provider_notice(PaymentType.WECHAT, mini.notice(payment.payment_sn), {})
        await ship(world, payment)
        await take_step(*args)

    monkeypatch.setattr(world.store.payments, step, shipped_before)
    assert await world.settlement.query_due() == 1
    await settle(world)
    assert [payment_sn for payment_sn, _ in mini.told] == [payment.payment_sn]


@pytest.mark.parametrize(
    ("state", "awaits"),
    [
        (PaymentState.PENDING, False),
        (PaymentState.PAID, True),
        (PaymentState.PART_REFUNDED, True),
        (PaymentState.REFUNDED, False),
        (PaymentState.CLOSED, False),
    ],
)
async def test_only_money_that_is_there_waits(
    world: World, mini: Mini, state: PaymentState, awaits: bool
) -> None:
    assert replace(await paid(world, mini), state=state).awaits_shipping is awaits
