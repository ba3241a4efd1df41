"""Money that only the bill knows: the provider is asked, and only its answer changes an order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shop_order.domain.bill import BillLine, LineState, Mismatch, first_ms
from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import OrderStatus, PaymentState, RefundState
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.service.settle import REFUND_BACKOFF_MS
from shop_order.service.upkeep import day_comparison, reconcile
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.world.bills import ALIPAY, BUYER, DAY, Desk, attempt, kinds, reconciling
from tests.world.shop import World

ADMIN = Actor(Role.ADMIN, 1)


async def late_refund(world: World) -> Refund:
    """An approved refund of money that came too late."""
    payment = await attempt(world)
    await world.orders.cancel(BUYER, payment.order_sn)
    world.provider.pay(payment.payment_sn)
    paid = await world.provider.query(payment.payment_sn)
    await world.attempts.apply_trade(payment.payment_sn, replace(paid, paid_ms=first_ms(DAY) + 1))
    return await refund_of(world, payment)


async def refund_of(world: World, payment: Payment | Refund) -> Refund:
    (refund,) = (await world.store.orders.get(payment.order_sn)).refunds.values()
    return refund


def lines_of(refund: Refund, state: LineState = LineState.DONE) -> list[BillLine]:
    """The payment and its refund, as the bill would have them."""
    sn, fen = refund.payment_sn, refund.amount_fen
    paid = BillLine(sn, f"T{sn[1:]}", fen)
    return [paid, replace(paid, is_refund=True, out_refund_no=refund.out_refund_no, state=state)]


async def sent_and_unanswered(world: World) -> Refund:
    """The provider refunded it, and its answer was lost; for a while nobody asks."""
    refund = await late_refund(world)
    world.provider.mode = "mute"
    assert await world.settlement.refund_due() == 1
    world.provider.mode = "up"
    assert await world.settlement.refund_due() == 0
    return await refund_of(world, refund)


async def refused(world: World) -> Refund:
    """The provider refused it."""
    refund = await late_refund(world)
    world.provider.mode = "refuses"
    assert await world.settlement.refund_due() == 1
    world.provider.mode = "up"
    return await refund_of(world, refund)


async def test_a_refund_whose_answer_was_lost_is_asked_about_at_once(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    refund = await sent_and_unanswered(world)
    assert refund.state is RefundState.SENT
    desk.bills[DAY] = lines_of(refund)
    assert await kinds(service, DAY) == [Mismatch.NOT_REFUNDED_HERE]
    assert (await refund_of(world, refund)).state is RefundState.SENT, "a bill alone ends no refund"
    assert await world.settlement.refund_due() == 1
    assert (await refund_of(world, refund)).state is RefundState.SUCCEEDED
    assert await kinds(service, DAY) == []


async def test_a_refund_that_failed_here_but_not_there_succeeds_and_is_not_sent_again(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    refund = await refused(world)
    assert refund.state is RefundState.FAILED
    world.provider.ledger[refund.payment_sn].refunds[refund.out_refund_no] = refund.amount_fen
    calls = world.provider.refund_calls
    desk.bills[DAY] = lines_of(refund)
    assert await kinds(service, DAY) == [Mismatch.NOT_REFUNDED_HERE]
    assert await world.settlement.refund_due() == 1
    assert (await refund_of(world, refund)).state is RefundState.SUCCEEDED
    assert (world.provider.refund_calls, await world.settlement.refund_due()) == (calls, 0)
    assert await kinds(service, DAY) == []


@pytest.mark.parametrize("state", [LineState.DONE, LineState.OPEN])
async def test_a_bill_that_lies_about_a_failed_refund_sends_nothing_and_is_believed_by_nobody(
    world: World, desk: Desk, service: ReconciliationService, state: LineState
) -> None:
    refund = await refused(world)
    calls, alerts = world.provider.refund_calls, len(world.alerts)
    desk.bills[DAY] = lines_of(refund, state)
    assert await kinds(service, DAY) == [Mismatch.NOT_REFUNDED_HERE]
    asked = 0
    for _ in range(len(REFUND_BACKOFF_MS) + 2):
        asked += await world.settlement.refund_due()
        await world.clock.advance(3600)
    assert asked == len(REFUND_BACKOFF_MS), "not for ever"
    assert (await refund_of(world, refund)).state is RefundState.FAILED
    assert (world.provider.refund_calls, len(world.alerts)) == (calls, alerts)


async def test_a_refund_that_the_provider_has_not_ended_agrees_with_one_that_was_sent(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    refund = await sent_and_unanswered(world)
    desk.bills[DAY] = lines_of(refund, LineState.OPEN)
    result = await service.reconcile(ALIPAY, DAY)
    assert (result.differences, result.ours, result.ours.refunds) == (0, result.theirs, 1)
    assert await world.settlement.refund_due() == 0


async def test_a_refund_settled_by_hand_is_in_no_bill_and_must_be_in_none(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    refund = await refused(world)

    def settle(order: Order) -> None:
        after_sales.settle_by_hand(order, refund.refund_sn, ADMIN, world.clock(), reason="bank transfer")

    await world.store.orders.change(refund.order_sn, settle)
    paid, back = lines_of(refund)
    desk.bills[DAY] = [paid]
    assert await kinds(service, DAY) == []
    desk.bills[DAY] = [paid, back]
    assert await kinds(service, DAY) == [Mismatch.REFUNDED_BY_HAND_TOO]
    assert await world.settlement.refund_due() == 0
    desk.bills[DAY] = [paid, replace(back, state=LineState.FAILED)]
    assert await kinds(service, DAY) == []


async def test_what_is_none_of_ours_is_only_told(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    desk.bills[DAY] = [
        BillLine("P-of-nobody", "T1", 5),
        BillLine("P-of-nobody", "T1", 5, True, "R-of-nobody"),
    ]
    assert await kinds(service, DAY) == [Mismatch.UNKNOWN_PAYMENT, Mismatch.UNKNOWN_REFUND]
    assert (await world.settlement.query_due(), await world.settlement.refund_due()) == (0, 0)
    assert world.provider.asked == []


async def test_all_of_a_lost_day_are_asked_about_one_after_another(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_comparison, "ASKED_EVERY_MS", 60_000)
    monkeypatch.setattr(day_comparison, "ASKED_AT_ONCE", 2)
    monkeypatch.setattr(day_comparison, "PAGE", 3)
    payments = [await attempt(world) for _ in range(5)]
    desk.bills[DAY] = [BillLine(one.payment_sn, f"T{one.payment_sn[1:]}", one.amount_fen) for one in payments]
    assert await kinds(service, DAY) == [Mismatch.NOT_PAID_HERE] * 5
    asked = []
    for _ in range(5):
        asked.append(await world.settlement.query_due())
        await world.clock.advance(60)
    assert asked[0] == 1, "those of today's buyers are not behind all of them"
    assert {one.payment_sn for one in payments} == set(world.provider.asked)


# What happened at the provider, and what the bill says, in any combination.
Story = tuple[bool, bool, bool, bool]
stories = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=6
)


@settings(max_examples=30, deadline=None)
@given(stories)
def test_an_order_is_paid_if_the_provider_says_so_whatever_the_bill_says(all_: list[Story]) -> None:
    """For each: did the buyer pay, is it in the bill, was the order cancelled, and the attempt given up?"""

    async def play() -> None:
        world = await World().open()
        try:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(reconcile, "MAX_SPREAD_S", 0.0)
                await play_in(world, all_)
        finally:
            await world.close()

    asyncio.run(play())


async def play_in(world: World, all_: list[Story]) -> None:
    desk = Desk({DAY: []})
    service = reconciling(world, desk)
    payments: list[Payment] = []
    for _, in_bill, is_cancelled, is_over in all_:
        payment = await attempt(world)
        payments.append(payment)
        if is_cancelled:
            await world.orders.cancel(BUYER, payment.order_sn)
        if is_over:
            await close(world, payment)
        if in_bill:
            line = BillLine(payment.payment_sn, f"T{payment.payment_sn[1:]}", payment.amount_fen)
            desk.bills[DAY].append(line)
    for payment, (pays, *_) in zip(payments, all_, strict=True):
        if pays:
            world.provider.ledger[payment.payment_sn].state = "waiting"
            world.provider.pay(payment.payment_sn)
    before = [await state(world, payment) for payment in payments]
    told = await kinds(service, DAY)
    assert told == [Mismatch.NOT_PAID_HERE] * len(desk.bills[DAY])
    assert [await state(world, payment) for payment in payments] == before, "the bill itself changes nothing"
    await world.clock.advance(1)  # they are asked about one after another
    await world.settlement.query_due()
    for payment, (pays, in_bill, is_cancelled, _) in zip(payments, all_, strict=True):
        order = await world.store.orders.get(payment.order_sn)
        is_paid = order.payments[payment.payment_sn].is_paid
        assert not is_paid or pays, "nobody is paid by a bill"
        assert is_paid or not (pays and in_bill), "what is in the bill and was paid is found"
        assert order.refunds or not (is_paid and is_cancelled), "late money goes back"
    again = await kinds(service, DAY)
    lies = sum(in_bill and not pays for pays, in_bill, *_ in all_)
    assert again == [Mismatch.NOT_PAID_HERE] * lies


async def close(world: World, payment: Payment) -> None:
    """Given up, and nobody asks about it any more."""

    def give_up(order: Order) -> None:
        order.close_attempt(payment.payment_sn, SYSTEM, world.clock())

    await world.store.orders.change(payment.order_sn, give_up)
    await world.store.payments.stop_queries(payment.closed(), payment.grace_end_ms)


async def state(world: World, payment: Payment) -> tuple[OrderStatus, PaymentState]:
    order = await world.store.orders.get(payment.order_sn)
    return order.status, order.payments[payment.payment_sn].state
