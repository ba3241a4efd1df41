"""Attempts while the provider or another call is at work on the same order."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountNotPayable, ChannelUnavailable, DependencyDown, IllegalTransition
from shop_order.domain.ports import Trade, TradeState
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import MAX_ATTEMPTS, PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.settle import STUCK_MS
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)


async def attempted(world: World) -> tuple[Order, Payment]:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    return order, await pay(world, order)


async def pay(world: World, order: Order, trade_type: str = "") -> Payment:
    cmd = PayOrder(order.order_sn, PaymentType.ALIPAY, trade_type)
    return (await world.payments.pay(BUYER, cmd)).result.payment


def before_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]
) -> None:
    """Let something else happen once, between a decision that was read and its commit."""
    change = world.store.orders.change

    async def late(*args: Any, **how: Any) -> Any:
        monkeypatch.undo()
        await act()
        return await change(*args, **how)

    monkeypatch.setattr(world.store.orders, "change", late)


async def test_an_attempt_that_was_closed_meanwhile_is_not_opened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, first = await attempted(world)
    before_the_commit(
        world, monkeypatch, lambda: world.attempts.apply_trade(first.payment_sn, Trade(TradeState.CLOSED))
    )
    second = await pay(world, order)
    stored = (await world.store.orders.get(order.order_sn)).payments
    assert stored[first.payment_sn].state is PaymentState.CLOSED
    assert stored[second.payment_sn].state is PaymentState.PENDING


async def test_no_second_channel_while_nobody_knows_whether_the_first_still_takes_money(
    world: World,
) -> None:
    order, first = await attempted(world)
    world.provider.scan(first.payment_sn)
    world.provider.mode = "down"
    with pytest.raises(DependencyDown):
        await pay(world, order, "wap")
    assert list((await world.store.orders.get(order.order_sn)).payments) == [first.payment_sn]
    world.provider.mode = "up"
    second = await pay(world, order, "wap")
    assert world.provider.ledger[first.payment_sn].state == "closed"
    assert second.trade_type == "wap"


async def test_numbers_are_drawn_by_one_thread_alone(world: World) -> None:
    drawing = set()

    def watched() -> Iterator[int]:
        for number in itertools.count(1000):
            drawing.add(threading.current_thread())
            yield number

    world.random = watched()
    order, late = await attempted(world)
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(late.payment_sn)
    notice = world.provider.notice(late.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})
    assert (await world.store.orders.get(order.order_sn)).refunds, "the late money is on its way back"
    assert drawing == {threading.current_thread()}, "random bytes are kept in blocks that threads can't share"


async def test_money_for_a_cancelled_order_is_found_without_a_notice(world: World) -> None:
    order, attempt = await attempted(world)
    await world.orders.cancel(BUYER, order.order_sn)
    await world.settlement.query_due()  # nobody has opened the cashier yet: there is nothing to close
    world.provider.pay(attempt.payment_sn)
    world.real_ms += 60_000
    await world.settlement.query_due()
    await world.settlement.refund_due()
    assert world.provider.ledger[attempt.payment_sn].holds_fen == 0


async def test_an_unopened_attempt_of_a_cancelled_order_ends_with_its_link(world: World) -> None:
    order, attempt = await attempted(world)
    await world.orders.cancel(BUYER, order.order_sn)
    await world.settlement.query_due()
    world.real_ms += 1_800_000 + 61_000
    await world.settlement.query_due()
    stored = await world.store.orders.get(order.order_sn)
    assert stored.payments[attempt.payment_sn].state is PaymentState.CLOSED
    world.real_ms += 86_400_000
    assert await world.settlement.query_due() == 0


async def test_a_question_that_hangs_keeps_no_other_attempt_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, hangs), (paid, other) = [await attempted(world) for _ in range(2)]
    world.provider.pay(other.payment_sn)
    query, others_done = world.provider.query, asyncio.Event()

    async def slowly(payment_sn: str) -> Trade:
        if payment_sn == hangs.payment_sn:
            await others_done.wait()
        trade = await query(payment_sn)
        others_done.set()
        return trade

    monkeypatch.setattr(world.provider, "query", slowly)
    world.real_ms += 30_000
    async with asyncio.timeout(5):
        assert await world.settlement.query_due() == 2
    assert (await world.store.orders.get(paid.order_sn)).status is OrderStatus.PAID


async def test_a_refund_that_can_not_be_stored_keeps_no_other_from_being_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [await attempted(world) for _ in range(3)]
    for order, attempt in late:
        await world.orders.cancel(BUYER, order.order_sn)
        world.provider.pay(attempt.payment_sn)
        notice = world.provider.notice(attempt.payment_sn)
        await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})
    change = world.store.orders.change

    async def but_for_the_first(order_sn: str, decide: Callable[[Order], Any]) -> Any:
        if order_sn == late[0][0].order_sn:
            raise DependencyDown("order_database")
        return await change(order_sn, decide)

    monkeypatch.setattr(world.store.orders, "change", but_for_the_first)
    with pytest.raises(DependencyDown):
        await world.settlement.refund_due()
    held = [world.provider.ledger[attempt.payment_sn].holds_fen for _, attempt in late]
    assert held == [late[0][0].pay_fen, 0, 0]


async def test_a_buyer_who_changes_the_channel_for_ever_keeps_the_last_one(world: World) -> None:
    order, last = await attempted(world)
    for number in range(1, MAX_ATTEMPTS):
        last = await pay(world, order, ("page", "wap")[number % 2])
    with pytest.raises(ChannelUnavailable):
        await pay(world, order, "page")
    assert await pay(world, order, "wap") == last
    assert len((await world.store.orders.get(order.order_sn)).payments) == MAX_ATTEMPTS


# ---- what the channel takes at a time ----


@pytest.mark.parametrize(("smallest_fen", "largest_fen"), [(2000, 10**10), (1, 1998)])
async def test_an_amount_outside_the_channels_bounds_opens_nothing(
    world: World, smallest_fen: int, largest_fen: int
) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    assert order.pay_fen == 1999
    world.provider.smallest_fen, world.provider.largest_fen = smallest_fen, largest_fen
    with pytest.raises(AmountNotPayable) as refused:
        await pay(world, order)
    assert refused.value.details["smallest_fen"] == smallest_fen
    assert refused.value.details["largest_fen"] == largest_fen
    assert not world.provider.ledger
    world.provider.smallest_fen = world.provider.largest_fen = order.pay_fen
    assert (await pay(world, order)).amount_fen == order.pay_fen


async def test_an_order_that_waits_no_more_is_told_so_whatever_it_costs(world: World) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.largest_fen = 1
    with pytest.raises(IllegalTransition):
        await pay(world, order)


# ---- the link of an attempt that was closed works on until its time is over ----


async def test_money_by_the_link_of_an_earlier_attempt_buys_the_goods_though_its_notice_is_lost(
    world: World,
) -> None:
    order, first = await attempted(world)
    second = await pay(world, order, "wap")
    world.provider.pay(first.payment_sn)
    await world.clock.advance(1800)
    assert await world.timeout.run_once() == 1
    stored = await world.store.orders.get(order.order_sn)
    assert (stored.status, stored.payment_sn) == (OrderStatus.PAID, first.payment_sn)
    assert second.payment_sn in stored.payments


async def test_money_by_the_link_of_a_closed_attempt_comes_back_though_its_notice_is_lost(
    world: World,
) -> None:
    order, first = await attempted(world)
    await pay(world, order, "wap")
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(first.payment_sn)
    world.real_ms = first.grace_end_ms
    await world.settlement.query_due()
    await world.settlement.refund_due()
    assert world.provider.ledger[first.payment_sn].holds_fen == 0


async def test_a_closed_attempt_is_asked_about_until_its_provider_answers_and_then_no_more(
    world: World,
) -> None:
    order, first = await attempted(world)
    second = await pay(world, order, "wap")
    world.provider.pay(second.payment_sn)
    notice = world.provider.notice(second.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})
    world.real_ms = first.grace_end_ms - 1
    assert await world.settlement.query_due() == 0
    world.provider.mode = "down"
    world.real_ms = first.expire_ms + STUCK_MS
    assert await world.settlement.query_due() == 1
    world.real_ms += 30_000
    assert await world.settlement.query_due() == 1
    ((alert, about),) = world.alerts
    assert (alert, about["payment_sn"]) == ("payment_stuck", first.payment_sn)
    world.provider.mode = "up"
    world.real_ms += 60_000
    assert await world.settlement.query_due() == 1
    world.real_ms += 86_400_000
    assert await world.settlement.query_due() == 0
    stored = await world.store.orders.get(order.order_sn)
    assert stored.payments[first.payment_sn].state is PaymentState.CLOSED


async def test_who_is_about_to_pay_by_the_link_of_a_closed_attempt_can_not_any_more(world: World) -> None:
    order, first = await attempted(world)
    await pay(world, order, "wap")
    world.provider.scan(first.payment_sn)
    closed = (await world.store.orders.get(order.order_sn)).payments[first.payment_sn]
    assert not await world.settlement.settle(closed)
    assert not world.provider.pay(first.payment_sn)
