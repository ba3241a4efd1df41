"""Who may see what, lists, expectations and limits: the use cases on a real store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    CouponUnknown,
    DependencyDown,
    Forbidden,
    InvalidArgument,
    KeyReused,
    OrderNotFound,
    PageTooDeep,
    PaymentNotFound,
    QuoteUnknown,
    StateChanged,
    TooManyUnpaid,
)
from shop_order.domain.ports import Notice, OrderFilter, Payer, Trade, TradeState
from shop_order.domain.status import OrderStatus, PaymentType, RefundState
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import Attempt, PayOrder
from shop_order.service.place import OrderRules, PlaceOrder
from shop_order.service.settle import QUERY_BACKOFF_MS, REFUND_BACKOFF_MS, STUCK_MS, backoff
from tests.world.shop import ADDRESS, World

BUYER, OTHER = Actor(Role.USER, 7), Actor(Role.USER, 8)
ADMIN, SERVICE = Actor(Role.ADMIN, 1), Actor(Role.SERVICE, 0, "user-operation")
FOR_7 = Actor(Role.SERVICE, 7, "user-operation")
ONE = PlaceOrder(ADDRESS, (Line(1, 1),))
CLOSED = Trade(TradeState.CLOSED)


async def placed(world: World, actor: Actor = BUYER, cmd: PlaceOrder = ONE) -> Order:
    return (await world.placing.place(actor, cmd)).result


async def attempted(world: World, order: Order, trade_type: str = "", return_url: str = "") -> Attempt:
    cmd = PayOrder(order.order_sn, PaymentType.ALIPAY, trade_type, return_url)
    return (await world.payments.pay(BUYER, cmd)).result


async def test_another_users_order_looks_as_if_it_did_not_exist(world: World) -> None:
    order = await placed(world)
    for actor in (BUYER, FOR_7, ADMIN):
        assert (await world.orders.get(actor, order.order_sn)).id == order.id
        assert (await world.orders.get_by_id(actor, order.id)).order_sn == order.order_sn
    for actor in (OTHER, SERVICE, Actor(Role.SERVICE, 8, "x")):
        with pytest.raises(OrderNotFound):
            await world.orders.get(actor, order.order_sn)
        with pytest.raises(OrderNotFound):
            await world.orders.cancel(actor, order.order_sn)
        with pytest.raises(OrderNotFound):
            await world.orders.confirm(actor, order.order_sn)
        with pytest.raises(OrderNotFound):
            await world.payments.pay(actor, PayOrder(order.order_sn, PaymentType.ALIPAY))
        with pytest.raises(OrderNotFound):
            await world.payments.get_payment(actor, order.order_sn)
    with pytest.raises(OrderNotFound):
        await world.orders.get(ADMIN, order.order_sn, owner=8)
    assert (await world.store.orders.get(order.order_sn)).version == 1


async def test_a_user_lists_only_what_is_theirs_whomever_they_name(world: World) -> None:
    mine, theirs = await placed(world), await placed(world, OTHER)

    async def numbers(actor: Actor, where: OrderFilter) -> list[str]:
        return [o.order_sn for o in (await world.orders.list(actor, where)).orders]

    assert await numbers(BUYER, OrderFilter()) == [mine.order_sn]
    assert await numbers(BUYER, OrderFilter(user=8)) == [mine.order_sn]
    assert await numbers(FOR_7, OrderFilter()) == [mine.order_sn]
    assert await numbers(ADMIN, OrderFilter(user=8)) == [theirs.order_sn]
    assert set(await numbers(ADMIN, OrderFilter())) == {mine.order_sn, theirs.order_sn}
    with pytest.raises(Forbidden):
        await numbers(SERVICE, OrderFilter())


async def test_pages_end_at_10000_rows_and_sizes_at_100(world: World) -> None:
    for _ in range(3):
        await placed(world)
    assert len((await world.orders.list(BUYER, OrderFilter(), page_size=10**9)).orders) == 3
    await world.orders.list(BUYER, OrderFilter(), page=100, page_size=100)
    with pytest.raises(PageTooDeep):
        await world.orders.list(BUYER, OrderFilter(), page=101, page_size=100)
    for page, page_size in ((0, 1), (1, 0), (-1, 1), (1, -1)):
        with pytest.raises(InvalidArgument):
            await world.orders.list(BUYER, OrderFilter(), page=page, page_size=page_size)
    with pytest.raises(InvalidArgument):
        await world.orders.list(BUYER, OrderFilter(start_ms=2, end_ms=1))


@pytest.mark.parametrize("actor", [ADMIN, SERVICE, Actor(Role.USER, 0), Actor(Role.SYSTEM, 7)])
async def test_only_a_user_or_who_acts_for_one_buys(world: World, actor: Actor) -> None:
    with pytest.raises(Forbidden):
        await world.placing.place(actor, ONE)
    with pytest.raises(Forbidden):
        await world.carts.add(actor, 1)


async def test_the_last_unpaid_order_of_the_limit_is_placed_and_no_more(world: World) -> None:
    world.rules = OrderRules(unpaid_limit=2)
    first, _ = await placed(world), await placed(world)
    reserved = len(world.stock.reserved)
    with pytest.raises(TooManyUnpaid):
        await placed(world)
    assert len(world.stock.reserved) == reserved, "nothing is reserved for an order that can't be"
    await world.orders.cancel(BUYER, first.order_sn)
    await placed(world)
    world.rules = OrderRules(unpaid_limit=0)
    await placed(world)


async def test_an_expectation_that_no_longer_holds_is_a_conflict(world: World) -> None:
    order = await placed(world)
    with pytest.raises(StateChanged):
        await world.orders.cancel(BUYER, order.order_sn, expected=OrderStatus.PAID)
    with pytest.raises(StateChanged):
        await world.orders.ship(ADMIN, order.order_sn, "a", "b", expected=OrderStatus.PAID)
    with pytest.raises(StateChanged):
        await world.orders.confirm(BUYER, order.order_sn, expected=OrderStatus.SHIPPED)
    done = await world.orders.cancel(BUYER, order.order_sn, expected=OrderStatus.PENDING)
    assert done.status is OrderStatus.CANCELLED


async def test_what_is_not_built_is_refused_not_ignored(world: World) -> None:
    with pytest.raises(CouponUnknown):
        await placed(world, cmd=replace(ONE, coupon_id="C1"))
    with pytest.raises(QuoteUnknown):
        await placed(world, cmd=replace(ONE, quote_token="q"))


async def test_no_answer_about_stock_stores_nothing_and_gives_nothing_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(order_sn: str, lines: object) -> None:
        raise DependencyDown("inventory_service")

    monkeypatch.setattr(world.stock, "reserve", silent)
    with pytest.raises(DependencyDown):
        await placed(world, cmd=replace(ONE, key="k"))
    assert world.lost == []
    assert await world.store.audit.order_sns("", 10) == []


async def test_an_order_whose_commit_has_no_answer_keeps_its_stock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = world.store.orders.add

    async def unanswered(order: Order, **how: Any) -> None:
        await add(order, **how)
        raise DependencyDown("order_database")

    monkeypatch.setattr(world.store.orders, "add", unanswered)
    with pytest.raises(DependencyDown):
        await placed(world)
    assert world.lost == [], "what was stored would be sold without stock"


async def test_a_key_is_kept_over_a_restart_and_for_24_hours(world: World) -> None:
    cmd = replace(ONE, key="k")
    first = await placed(world, cmd=cmd)
    await world.restart()
    world.real_ms += 86_399_999
    again = await world.placing.place(BUYER, cmd)
    assert (again.result.order_sn, again.replayed) == (first.order_sn, True)
    world.real_ms += 1
    later = await world.placing.place(BUYER, cmd)
    assert later.result.order_sn != first.order_sn
    assert not later.replayed


async def test_the_test_clock_does_not_age_keys(world: World) -> None:
    first = await placed(world, cmd=replace(ONE, key="k"))
    await world.clock.advance(200_000)
    assert (await placed(world, cmd=replace(ONE, key="k"))).order_sn == first.order_sn


# ---- paying ----


async def test_an_equal_attempt_is_used_again_and_another_closes_it_first(world: World) -> None:
    order = await placed(world)
    with pytest.raises(PaymentNotFound):
        await world.payments.get_payment(BUYER, order.order_sn)
    first = await attempted(world, order)
    assert (await attempted(world, order, trade_type="page")).payment == first.payment
    world.provider.scan(first.payment.payment_sn)
    second = await attempted(world, order, trade_type="wap")
    assert world.provider.ledger[first.payment.payment_sn].state == "closed"
    assert (await world.payments.get_payment(BUYER, order.order_sn)).payment == second.payment
    assert first.payment.payment_sn != second.payment.payment_sn


async def test_changing_the_channel_finds_the_money_that_is_there(world: World) -> None:
    order = await placed(world)
    first = await attempted(world, order)
    world.provider.pay(first.payment.payment_sn)
    with pytest.raises(Exception, match="PAID"):
        await attempted(world, order, trade_type="wap")
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.PAID


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("", True),
        ("https://shop.example/done?order=1", True),
        ("https://shop.example/else", False),
        ("https://shop.example.evil/done", False),
        ("http://shop.example/done", False),
        ("https://user@shop.example/done", False),
        ("//shop.example/done", False),
        ("javascript:alert(1)", False),
    ],
)
async def test_the_buyer_comes_back_only_to_our_own_pages(world: World, url: str, allowed: bool) -> None:
    order = await placed(world)
    if allowed:
        await attempted(world, order, return_url=url)
    else:
        with pytest.raises(InvalidArgument):
            await attempted(world, order, return_url=url)


# ---- time and leases ----


async def test_nothing_is_cancelled_before_its_time(world: World) -> None:
    order = await placed(world)
    await world.clock.advance(1799)
    assert await world.timeout.run_once() == 0
    await world.orders.apply_timeout(order.order_sn)
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.PENDING
    await world.clock.advance(1)
    assert await world.timeout.run_once() == 1
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.CANCELLED
    assert await world.timeout.run_once() == 0


async def test_a_buyer_whose_notice_was_lost_gets_the_goods_at_the_timeout(world: World) -> None:
    order = await placed(world)
    payment = (await attempted(world, order)).payment
    world.provider.pay(payment.payment_sn)
    await world.clock.advance(1801)
    await world.timeout.run_once()
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.PAID


def test_waiting_grows_and_then_stays() -> None:
    waits = [backoff(QUERY_BACKOFF_MS, tries) for tries in range(10)]
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] == QUERY_BACKOFF_MS[-1]


async def test_a_refund_whose_answer_was_lost_is_asked_for_again_under_its_number(world: World) -> None:
    order = await placed(world)
    payment = (await attempted(world, order)).payment
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(payment.payment_sn), {})
    world.provider.mode = "mute"
    assert await world.settlement.refund_due() == 1
    assert await world.settlement.refund_due() == 0, "it waits before it asks again"
    world.real_ms += 5_000
    world.provider.mode = "up"
    assert await world.settlement.refund_due() == 1
    (refund,) = (await world.store.orders.get(order.order_sn)).refunds.values()
    assert refund.state is RefundState.SUCCEEDED
    assert world.provider.ledger[payment.payment_sn].refunds == {refund.refund_sn: order.pay_fen}


async def test_a_refund_that_is_refused_for_good_calls_a_human(world: World) -> None:
    order = await placed(world)
    payment = (await attempted(world, order)).payment
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(payment.payment_sn), {})
    world.provider.mode = "refuses"
    await world.settlement.refund_due()
    assert [name for name, _ in world.alerts] == ["refund_failed"]
    world.real_ms += 10_000_000
    assert await world.settlement.refund_due() == 0


async def test_a_refund_that_nobody_answers_for_calls_a_human_after_half_an_hour(world: World) -> None:
    order = await placed(world)
    payment = (await attempted(world, order)).payment
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(payment.payment_sn), {})
    world.provider.mode = "down"
    for wait_ms in REFUND_BACKOFF_MS:
        assert await world.settlement.refund_due() == 1
        assert world.alerts == []
        world.real_ms += wait_ms
    assert await world.settlement.refund_due() == 1
    ((name, about),) = world.alerts
    assert (name, about["order_sn"]) == ("refund_stuck", order.order_sn)
    world.provider.mode = "up"
    world.real_ms += REFUND_BACKOFF_MS[-1]
    assert await world.settlement.refund_due() == 1
    assert len(world.alerts) == 1, "its end is known now"


async def test_an_attempt_whose_provider_stays_silent_calls_a_human(world: World) -> None:
    payment = (await attempted(world, await placed(world))).payment
    world.provider.mode = "down"
    world.real_ms = payment.expire_ms + STUCK_MS
    assert await world.settlement.query_due() == 1
    assert world.alerts == []
    world.real_ms += QUERY_BACKOFF_MS[-1]
    assert await world.settlement.query_due() == 1
    ((name, about),) = world.alerts
    assert (name, about["payment_sn"]) == ("payment_stuck", payment.payment_sn)
    world.provider.mode = "up"
    world.real_ms += QUERY_BACKOFF_MS[-1]
    assert await world.settlement.query_due() == 1
    assert len(world.alerts) == 1, "it was closed"


async def test_the_relay_takes_again_what_was_not_acknowledged(world: World) -> None:
    orders = [await placed(world) for _ in range(2)]
    world.inboxes.refuse = lambda event: event.order_sn == orders[0].order_sn
    assert await world.relay.run_once() == 1
    world.inboxes.refuse = lambda event: False
    assert await world.relay.run_once() == 0, "it waits before it tries again"
    world.real_ms += 1_000
    assert await world.relay.run_once() == 1
    assert await world.store.outbox.lag() == (0, 0)
    assert world.inboxes.accepted == {order.order_sn: 1 for order in orders}


async def test_only_an_approved_refund_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await placed(world)
    payment = (await attempted(world, order)).payment
    await world.orders.cancel(BUYER, order.order_sn)
    world.provider.pay(payment.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(payment.payment_sn), {})
    ((refund, tries),) = await world.store.payments.due_refunds(world.clock(), 1)
    assert await world.settlement.refund_due() == 1

    async def due(now_ms: int, limit: int) -> Any:
        return [(refund, tries)]

    monkeypatch.setattr(world.store.payments, "due_refunds", due)
    assert await world.settlement.refund_due() == 1
    assert world.provider.refund_calls == 1, "it has succeeded meanwhile"


async def test_the_channel_learns_who_pays(world: World) -> None:
    order = await placed(world)
    payer = Payer("openid-of-7", "203.0.113.9")
    cmd = PayOrder(order.order_sn, PaymentType.ALIPAY, payer=payer, key="k")
    first = await world.payments.pay(BUYER, cmd)
    assert world.provider.opened is not None
    assert world.provider.opened.payer == payer
    moved = replace(cmd, payer=replace(payer, client_ip="203.0.113.10"))
    assert (await world.payments.pay(BUYER, moved)).result.payment == first.result.payment
    with pytest.raises(KeyReused):
        await world.payments.pay(BUYER, replace(cmd, payer=Payer("openid-of-8")))
    for wrong in (Payer("o" * 129), Payer("o\0")):
        with pytest.raises(InvalidArgument):
            await world.payments.pay(BUYER, replace(cmd, payer=wrong))


async def test_a_channel_reads_the_headers_of_a_notice_in_lower_case(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def verify(body: bytes, headers: Any) -> Notice:
        seen.append(headers)
        return Notice("P1", CLOSED, is_refund=True)

    monkeypatch.setattr(world.provider, "verify", verify)
    await world.payments.provider_notice(PaymentType.ALIPAY, b"", {"Wechatpay-Serial": "S1"})
    assert seen == [{"wechatpay-serial": "S1"}]
