"""A provider that keeps our money until the goods are on their way is told so, at last, and once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import Shipment, TradeTypes
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.service.channels import Channels
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.shipping import MANY_TRIES
from tests.world.provider import ModelProvider
from tests.world.shop import ADDRESS, World

BUYER, ADMIN = Actor(Role.USER, 7), Actor(Role.ADMIN, 1)
HOUR_MS = 3_600_000


@dataclass
class Mini(ModelProvider):
    """WeChat Pay, which waits for the shipping."""

    works: bool = True
    told: list[tuple[str, Shipment]] = field(default_factory=list)
    payment_type = PaymentType.WECHAT
    trade_types = TradeTypes(("mini", "native"))

    def __post_init__(self) -> None:
        ModelProvider.__init__(self)

    async def tell_shipping(self, payment: Payment, shipment: Shipment) -> bool:
        self.told.append((payment.payment_sn, shipment))
        return self.works


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
