"""Refunds by request: who may do what when, and what the provider is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from shop_order.domain.entity.after_sales import MAX_REQUESTS, RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import (
    DependencyDown,
    IllegalTransition,
    InvalidArgument,
    KeyReused,
    OrderNotFound,
    RefundNotFound,
    UseRefund,
)
from shop_order.domain.ports import OrderFilter, RefundFilter, RefundResult
from shop_order.domain.refund_errors import (
    NotRefundable,
    RefundAbnormal,
    RefundTooLate,
    SecondApprovalNeeded,
)
from shop_order.domain.status import OrderStatus, PaymentType, RefundState, RefundStatus, RefundType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.refund import RequestRefund
from tests.world.shop import ADDRESS, World

BUYER, STRANGER = Actor(Role.USER, 7), Actor(Role.USER, 8)
ADMIN, OTHER_ADMIN = Actor(Role.ADMIN, 1), Actor(Role.ADMIN, 2)
DAY_MS = 86_400_000


async def paid(world: World, *lines: Line) -> Order:
    placed = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, lines or (Line(1, 2),)))).result
    cmd = PayOrder(placed.order_sn, PaymentType.ALIPAY)
    payment = (await world.payments.pay(BUYER, cmd)).result.payment
    world.provider.pay(payment.payment_sn)
    notice = world.provider.notice(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})
    return await world.store.orders.get(placed.order_sn)


async def ask(world: World, order: Order, key: str = "", **wish: Any) -> Refund:
    cmd = RequestRefund(order.order_sn, RefundWish(**wish), key)
    return (await world.refunds.request(BUYER, cmd)).result


async def failed(world: World, mode: Any, **wish: Any) -> Refund:
    """A refund of a shipped order that ended like this at the provider."""
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    refund = await ask(world, order, **wish)
    await world.refunds.approve(ADMIN, refund.refund_sn)
    world.provider.mode = mode
    await world.settlement.refund_due()
    world.provider.mode = "up"
    return await world.refunds.get(BUYER, refund.refund_sn)


async def all_of(tasks: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_of_fifty_requests_at_once_one_is_stored(world: World) -> None:
    order = await paid(world)
    found = await all_of([ask(world, order) for _ in range(50)])
    assert [type(one) for one in found].count(Refund) == 1
    assert {one.problem for one in found if isinstance(one, NotRefundable)} == {"nothing_left"}
    with_a_key = await paid(world)
    again = await all_of([ask(world, with_a_key, key="k") for _ in range(50)])
    assert len({one.refund_sn for one in again}) == 1
    assert len((await world.store.orders.get(with_a_key.order_sn)).refunds) == 1


async def test_a_key_belongs_to_one_command_also_in_another_process(world: World) -> None:
    order = await paid(world)
    first = await ask(world, order, key="k", amount_fen=5)
    world.refunds = world.refund_service()
    cmd = RequestRefund(order.order_sn, RefundWish(amount_fen=5), "k")
    outcome = await world.refunds.request(BUYER, cmd)
    assert (outcome.result.refund_sn, outcome.replayed) == (first.refund_sn, True)
    with pytest.raises(KeyReused):
        await ask(world, order, key="k", amount_fen=6)


@pytest.mark.parametrize("actor", [STRANGER, Actor(Role.SERVICE, 8, "shop")])
async def test_a_stranger_finds_neither_the_order_nor_the_refund(world: World, actor: Actor) -> None:
    order = await paid(world)
    with pytest.raises(OrderNotFound):
        await world.refunds.request(actor, RequestRefund(order.order_sn, RefundWish()))
    sn = (await ask(world, order)).refund_sn
    for step in (
        world.refunds.get(actor, sn),
        world.refunds.withdraw(actor, sn),
        world.refunds.send_parcel(actor, sn, "SF", "SF1"),
    ):
        with pytest.raises(RefundNotFound):
            await step
    assert not (await world.refunds.list(actor, RefundFilter())).refunds
    with pytest.raises(RefundNotFound):
        await world.refunds.get(ADMIN, f"R{order.order_sn}")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"amount_fen": -1}, "amount_fen"),
        ({"reason": "x" * 256}, "reason"),
        ({"type": RefundType.RETURN, "amount_fen": 1}, "items"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(world: World, wish: dict[str, Any], field: str) -> None:
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    with pytest.raises(InvalidArgument) as caught:
        await ask(world, order, **wish)
    assert caught.value.field == field


async def test_lines_of_the_same_goods_count_together(world: World) -> None:
    order = await paid(world)
    with pytest.raises(NotRefundable, match="more_pieces_than_left"):
        await ask(world, order, lines=(Line(1, 1), Line(1, 2)))
    with pytest.raises(NotRefundable, match="more_pieces_than_left"):
        await ask(world, order, lines=(Line(3, 1),))
    with pytest.raises(NotRefundable, match="more_than_left"):
        await ask(world, order, amount_fen=10**15)
    assert (await ask(world, order, lines=(Line(1, 1), Line(1, 1)))).amount_fen == order.pay_fen


async def test_the_window_follows_the_test_clock(world: World) -> None:
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    await world.orders.confirm(BUYER, order.order_sn)
    await world.clock.advance(7 * 86_400)
    assert (await ask(world, order, amount_fen=1)).state is RefundState.REQUESTED
    await world.clock.advance(1)
    with pytest.raises(NotRefundable, match="window_over"):
        await ask(world, order, amount_fen=1)


@pytest.mark.parametrize("ends", ["withdrawn", "rejected", "succeeded"])
async def test_a_buyer_cannot_ask_endlessly_nor_block_an_admin(world: World, ends: str) -> None:
    order = await paid(world)
    for _ in range(MAX_REQUESTS):
        sn = (await ask(world, order, amount_fen=1)).refund_sn
        if ends == "withdrawn":
            await world.refunds.withdraw(BUYER, sn)
        elif ends == "rejected":
            await world.refunds.reject(ADMIN, sn, "不符合条件")
        else:
            await world.refunds.approve(ADMIN, sn)
            await world.settlement.refund_due()
    with pytest.raises(NotRefundable, match="too_many"):
        await ask(world, order)
    await world.orders.cancel(ADMIN, order.order_sn)
    await world.settlement.refund_due()
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.CANCELLED


async def test_two_admins_who_approve_at_once_refund_once(world: World) -> None:
    order = await paid(world)
    sn = (await ask(world, order)).refund_sn
    found = await all_of([world.refunds.approve(admin, sn) for admin in (ADMIN, OTHER_ADMIN)] * 5)
    assert {one.state for one in found} == {RefundState.APPROVED}
    await all_of([world.settlement.refund_due() for _ in range(3)])
    assert (await world.refunds.get(BUYER, sn)).state is RefundState.SUCCEEDED
    account = world.provider.ledger[order.payment_sn]
    assert account.refunds == {sn: order.pay_fen}
    types = [event.type for event in await world.store.orders.history(order.order_sn)]
    assert types.count("refund.approved") == types.count("refund.succeeded") == 1


async def test_a_large_refund_needs_two_admins(world: World) -> None:
    world.refund_rules = RefundRules(DAY_MS, second_approval_fen=3998)
    order = await paid(world)
    sn = (await ask(world, order)).refund_sn
    found = await all_of([world.refunds.approve(admin, sn) for admin in (ADMIN, ADMIN, OTHER_ADMIN)])
    assert [type(one) for one in found].count(SecondApprovalNeeded) <= 1
    refund = await world.refunds.get(ADMIN, sn)
    assert (refund.state, refund.approvals) == (RefundState.APPROVED, 2)


async def test_the_second_admin_cannot_add_money_that_the_first_did_not_approve(world: World) -> None:
    world.refund_rules = RefundRules(DAY_MS, second_approval_fen=1)
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    sn = (await ask(world, order, amount_fen=10)).refund_sn
    await world.refunds.approve(ADMIN, sn)
    for freight_fen in (-1, 10**14):
        with pytest.raises((InvalidArgument, NotRefundable)):
            await world.refunds.approve(OTHER_ADMIN, sn, freight_fen=freight_fen)
    assert (await world.refunds.get(ADMIN, sn)).approvals == 1


async def test_an_admins_cancel_of_a_paid_order_refunds_it_all(world: World) -> None:
    order = await paid(world)
    with pytest.raises(UseRefund):
        await world.orders.cancel(BUYER, order.order_sn)
    with pytest.raises(UseRefund):
        await world.orders.update_status(ADMIN, order.order_sn, OrderStatus.CANCELLED)
    asked = await ask(world, order, lines=(Line(1, 1),))
    for _ in range(2):
        shown = await world.orders.cancel(ADMIN, order.order_sn, "缺货")
        assert (shown.status, shown.refund_status) == (OrderStatus.PAID, RefundStatus.OPEN)
    await world.settlement.refund_due()
    await world.orders.cancel(ADMIN, order.order_sn, "again")
    done = await world.store.orders.get(order.order_sn)
    assert (done.status, done.cancel_code, done.cancel_reason) == (OrderStatus.CANCELLED, "ADMIN", "缺货")
    states = {refund.state: refund.amount_fen for refund in done.refunds.values()}
    assert states == {RefundState.REJECTED: asked.amount_fen, RefundState.SUCCEEDED: order.pay_fen}


async def test_a_large_cancel_waits_for_another_admin(world: World) -> None:
    world.refund_rules = RefundRules(DAY_MS, second_approval_fen=1)
    order = await paid(world)
    for _ in range(2):
        await world.orders.cancel(ADMIN, order.order_sn)
    (refund,) = (await world.store.orders.get(order.order_sn)).refunds.values()
    assert (refund.state, refund.approvals) == (RefundState.REQUESTED, 1)
    with pytest.raises(SecondApprovalNeeded):
        await world.refunds.approve(ADMIN, refund.refund_sn)
    await world.refunds.approve(OTHER_ADMIN, refund.refund_sn)
    await world.settlement.refund_due()
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.CANCELLED


async def test_a_refused_refund_is_sent_again_under_its_number(world: World) -> None:
    refund = await failed(world, "refuses")
    assert refund.failure == "REFUSED"
    for _ in range(2):
        again = await world.refunds.resend(ADMIN, refund.refund_sn)
        assert (again.state, again.out_refund_no) == (RefundState.SENT, refund.refund_sn)
    await world.settlement.refund_due()
    assert world.provider.ledger[refund.payment_sn].refunds == {refund.refund_sn: refund.amount_fen}
    assert ("refund_failed", refund.refund_sn) in [(n, a.get("refund_sn")) for n, a in world.alerts]


async def test_a_closed_number_is_replaced_only_while_the_provider_says_so(world: World) -> None:
    refund = await failed(world, "closed")
    assert refund.failure == "CLOSED"
    world.provider.mode = "down"
    with pytest.raises(DependencyDown):
        await world.refunds.resend(ADMIN, refund.refund_sn)
    world.provider.mode = "up"
    found = await all_of([world.refunds.resend(ADMIN, refund.refund_sn) for _ in range(5)])
    (number,) = {one.out_refund_no for one in found}
    assert number != refund.refund_sn
    await world.settlement.refund_due()
    done = await world.refunds.get(BUYER, refund.refund_sn)
    assert done.state is RefundState.SUCCEEDED
    assert world.provider.ledger[refund.payment_sn].refunds == {number: refund.amount_fen}


async def test_a_refund_that_the_provider_paid_meanwhile_is_not_paid_twice(world: World) -> None:
    for step in (world.refunds.resend, lambda actor, sn: world.refunds.settle(actor, sn, "转账")):
        refund = await failed(world, "abnormal")
        account = world.provider.ledger[refund.payment_sn]
        account.refunds[refund.out_refund_no] = refund.amount_fen  # by the provider's clerks
        assert (await step(ADMIN, refund.refund_sn)).state is RefundState.SUCCEEDED


async def test_what_the_provider_still_works_on_is_not_settled_by_hand(world: World) -> None:
    refund = await failed(world, "abnormal")
    world.provider.ledger[refund.payment_sn].ended[refund.out_refund_no] = RefundResult.PROCESSING
    with pytest.raises(IllegalTransition):
        await world.refunds.settle(ADMIN, refund.refund_sn, "银行转账")


async def test_a_bank_has_days_before_an_operator_is_told(world: World) -> None:
    order = await paid(world)
    refund = await ask(world, order)
    world.provider.ledger[refund.payment_sn].ended[refund.out_refund_no] = RefundResult.PROCESSING
    await world.refunds.approve(ADMIN, refund.refund_sn)
    for half_hours in range(4 * 48):
        world.real_ms += 1_800_000
        await world.settlement.refund_due()
        if half_hours == 2 * 48:
            assert not world.alerts
    assert {name for name, _ in world.alerts} == {"refund_stuck"}


@pytest.mark.parametrize(("mode", "error"), [("abnormal", RefundAbnormal), ("too_late", RefundTooLate)])
async def test_what_cannot_be_paid_is_settled_by_hand(
    world: World, mode: Any, error: type[Exception]
) -> None:
    refund = await failed(world, mode, lines=(Line(1, 1),))
    sn = refund.refund_sn
    with pytest.raises(error):
        await world.refunds.resend(ADMIN, sn)
    with pytest.raises(InvalidArgument):
        await world.refunds.settle(ADMIN, sn, "")
    for _ in range(2):
        settled = await world.refunds.settle(ADMIN, sn, "银行转账")
        assert (settled.state, settled.decision) == (RefundState.SETTLED, "银行转账")
    order = await world.store.orders.get(refund.order_sn)
    assert order.refund_status is RefundStatus.PART
    assert order.payments[refund.payment_sn].refunded_fen == refund.amount_fen
    with pytest.raises(IllegalTransition):
        await world.refunds.resend(ADMIN, sn)


async def test_nothing_but_a_failed_refund_is_settled_or_sent_again(world: World) -> None:
    sn = (await ask(world, await paid(world))).refund_sn
    for step in (world.refunds.settle(ADMIN, sn, "x"), world.refunds.resend(ADMIN, sn)):
        with pytest.raises(IllegalTransition):
            await step
    await world.refunds.reject(ADMIN, sn, "不符合条件")
    for step in (world.refunds.approve(ADMIN, sn), world.refunds.withdraw(BUYER, sn)):
        with pytest.raises(IllegalTransition):
            await step


async def test_refunds_are_listed_by_state_and_page(world: World) -> None:
    order = await paid(world)
    asked = [(await ask(world, order, amount_fen=n)).refund_sn for n in range(1, 6)]
    await world.refunds.reject(ADMIN, asked[0], "no")
    found, after = [], None
    while True:
        page = await world.refunds.list(BUYER, RefundFilter(), page_size=2, after=after)
        found += [refund.refund_sn for refund in page.refunds]
        if (after := page.next) is None:
            break
    assert sorted(found) == sorted(asked) and len(found) == 5
    rejected = await world.refunds.list(ADMIN, RefundFilter(state=RefundState.REJECTED))
    assert [refund.refund_sn for refund in rejected.refunds] == asked[:1]


async def test_what_nobody_decides_is_approved_by_itself(world: World) -> None:
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    small = await ask(world, order, amount_fen=100)
    large = await ask(world, order, amount_fen=2000)
    await world.clock.advance(3600)
    assert await world.auto_approval.run_once() == 0, "off"
    world.refund_rules = RefundRules(DAY_MS, auto_approve_ms=3_600_001, second_approval_fen=2000)
    assert await world.auto_approval.run_once() == 0, "too early"
    await world.clock.advance(1)
    assert [await world.auto_approval.run_once() for _ in range(2)] == [1, 0]
    assert (await world.refunds.get(BUYER, small.refund_sn)).state is RefundState.APPROVED
    assert (await world.refunds.get(BUYER, large.refund_sn)).approvals == 0, "two admins have to"
    await world.refunds.approve(ADMIN, large.refund_sn)
    await world.auto_approval.run_once()
    assert (await world.refunds.get(BUYER, large.refund_sn)).state is RefundState.REQUESTED


async def test_what_cannot_be_approved_by_itself_blocks_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shop_order.service.upkeep.auto_approve.BATCH", 2)
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    for _ in range(3):
        await ask(world, order, amount_fen=1000)
    last = await ask(world, order, amount_fen=5)
    world.refund_rules = RefundRules(DAY_MS, auto_approve_ms=1, second_approval_fen=1000)
    await world.clock.advance(1)
    approved = await world.auto_approval.run_once()
    while world.auto_approval.has_more(approved):
        approved += await world.auto_approval.run_once()
    assert approved == 1
    assert (await world.refunds.get(BUYER, last.refund_sn)).state is RefundState.APPROVED


async def test_statistics_count_what_was_settled_by_hand(world: World) -> None:
    refund = await failed(world, "abnormal")
    await world.refunds.settle(ADMIN, refund.refund_sn, "转账")
    await world.relay.run_once()
    await world.order_log.run_once()
    report = await world.statistics.report("", "")
    assert report.total.refunded_fen == refund.amount_fen


async def test_a_number_that_the_provider_no_longer_calls_closed_is_kept(world: World) -> None:
    refund = await failed(world, "closed")
    world.provider.ledger[refund.payment_sn].ended[refund.out_refund_no] = RefundResult.PROCESSING
    again = await world.refunds.resend(ADMIN, refund.refund_sn)
    assert (again.state, again.out_refund_no) == (RefundState.SENT, refund.refund_sn)


async def test_a_list_of_orders_does_not_read_the_lines_of_their_refunds(world: World) -> None:
    """A page of 100 orders with 20 refunds of 100 lines each would take half a second, and shows none."""
    refund = await ask(world, await paid(world))
    (listed,) = (await world.orders.list(BUYER, OrderFilter())).orders
    assert refund.lines
    assert not listed.refunds[refund.refund_sn].lines
    assert listed.refund_status is RefundStatus.OPEN
    assert (await world.orders.get(BUYER, listed.order_sn)).refunds == {refund.refund_sn: refund}
