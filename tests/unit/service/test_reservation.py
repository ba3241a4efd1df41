"""The check-back: who may have orders given up, how many, and what a late order meets."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from shop_order.domain.errors import Forbidden, InvalidArgument, OrderNotFound, PlacingGivenUp, RateLimited
from shop_order.domain.ports import MAX_PLACING_MS, TOMBSTONE_LIFETIME_MS
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.reservation import MARGIN_MS, Verdict
from tests.unit.service.test_use_cases import BUYER, attempted, placed
from tests.world.neighbours import INVENTORY
from tests.world.shop import World


async def test_the_check_back_answers_by_what_became_of_the_order(world: World) -> None:
    pending, done, bought = [await placed(world) for _ in range(3)]
    await world.orders.cancel(BUYER, done.order_sn)
    payment = (await attempted(world, bought)).payment
    world.provider.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(payment.payment_sn), {})
    await world.clock.advance(600)
    nobodys = world.next_sn()
    asked = [pending.order_sn, done.order_sn, bought.order_sn, "no number of ours", nobodys]
    until_ms = world.real_ms + 1_200_000 + MARGIN_MS
    assert await world.reservation.check(INVENTORY, asked) == [
        Verdict(pending.order_sn, "EXTEND", until_ms),
        Verdict(done.order_sn, "RELEASE"),
        Verdict(bought.order_sn, "CONFIRM"),
        Verdict(nobodys, "ABANDONED"),
    ]


async def test_what_was_paid_is_sold_though_its_refund_cancelled_the_order_since(world: World) -> None:
    """The neighbour may not know of the payment yet; a released lease could be neither sold nor returned."""
    order = await placed(world)
    payment = (await attempted(world, order)).payment
    world.provider.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(payment.payment_sn), {})
    await world.orders.cancel(Actor(Role.ADMIN, 1), order.order_sn)
    await world.settlement.refund_due()
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.CANCELLED
    assert await world.reservation.check(INVENTORY, [order.order_sn]) == [Verdict(order.order_sn, "CONFIRM")]


@pytest.mark.parametrize(
    "actor",
    [
        BUYER,
        Actor(Role.ADMIN, 1),
        Actor(Role.SERVICE, service="wallet"),
        Actor(Role.SERVICE, 7, "user-operation"),
        Actor(Role.USER, 7, "inventory"),
    ],
)
async def test_only_who_owns_leases_may_have_orders_given_up(world: World, actor: Actor) -> None:
    late = world.next_sn()
    with pytest.raises(Forbidden):
        await world.reservation.check(actor, [late])
    world.next_numbers = [late]
    assert (await placed(world)).order_sn == late


async def test_owners_ask_about_a_thousand_at_once_and_give_up_so_many_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [world.next_sn() for _ in range(1001)]
    with pytest.raises(InvalidArgument):
        await world.reservation.check(INVENTORY, numbers)
    monkeypatch.setattr("shop_order.domain.ports.MAX_TOMBSTONES_PER_MINUTE", 10)
    stands = await placed(world)
    given_up = await world.reservation.check(INVENTORY, numbers[:10])
    assert [one.answer for one in given_up] == ["ABANDONED"] * 10
    with pytest.raises(RateLimited) as refused:
        await world.reservation.check(INVENTORY, [stands.order_sn, numbers[10]])
    assert refused.value.retry_after_s
    again = await world.reservation.check(INVENTORY, [stands.order_sn, numbers[0]])
    assert [one.answer for one in again] == ["EXTEND", "ABANDONED"], "no new tombstone"
    world.real_ms += 60_000
    (later,) = await world.reservation.check(INVENTORY, [numbers[10]])
    assert later.answer == "ABANDONED"


async def test_an_order_that_took_so_long_that_its_tombstone_may_be_gone_is_given_up(world: World) -> None:
    late = world.next_sn()
    world.next_numbers = [late]

    async def frozen() -> None:
        """Its process stands still; meanwhile the stock is given back, and in the end the tombstone goes."""
        await world.reservation.check(INVENTORY, [late])
        world.real_ms += TOMBSTONE_LIFETIME_MS + 1
        assert await world.store.orders.purge_tombstones(world.real_ms) == 1

    world.stock.after_reserve = frozen
    with pytest.raises(PlacingGivenUp):
        await placed(world)
    with pytest.raises(OrderNotFound):
        await world.store.orders.get(late)


async def test_an_order_may_take_its_time_up_to_the_bound(world: World) -> None:
    async def slow() -> None:
        world.real_ms += MAX_PLACING_MS - 1

    world.stock.after_reserve = slow
    in_time = await placed(world)
    assert (await world.store.orders.get(in_time.order_sn)).id == in_time.id


async def test_the_lease_of_an_order_that_was_removed_stays_and_those_of_others_are_answered(
    world: World,
) -> None:
    removed, pending = [await placed(world) for _ in range(2)]
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("DELETE FROM order_info WHERE order_sn = ?", (removed.order_sn,))
    both = await world.reservation.check(INVENTORY, [removed.order_sn, pending.order_sn])
    assert [one.answer for one in both] == ["EXTEND", "EXTEND"]
    (kept,) = await world.reservation.check(INVENTORY, [removed.order_sn])
    assert kept.until_ms == world.real_ms + MARGIN_MS
    assert [(name, about["number"]) for name, about in world.alerts] == [("row_unreadable", removed.order_sn)]
