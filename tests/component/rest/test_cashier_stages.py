"""The cashier shows where a payment stands, at any hour, and asks its provider at once, but sparingly."""

from __future__ import annotations

import asyncio
import re
from html import escape
from typing import Any

import pytest

from shop_order.domain.ports import Trade, TradeState
from shop_order.service import checkout
from shop_order.web.dto.responses import CashierData
from tests.component.rest.front import PLACE, PUBLIC_URL, Rest, admin, refused
from tests.component.rest.test_cashier import HTML, JSON, choose, open_page, path
from tests.world.shop import World

CONFIRMING, PAY = "正在确认付款", "立即支付"


async def opened(rest: Rest, world: World) -> tuple[Any, str]:
    """An order whose buyer was sent to the provider, and the attempt."""
    order = await rest.placed()
    assert (await choose(rest, path(order))).status_code == 303
    return order, list(world.provider.ledger)[-1]


async def state(rest: Rest, order: Any, more: str = "") -> Any:
    data = await rest.data("GET", path(order) + more, as_="", headers=JSON)
    CashierData.model_validate(data, strict=True)
    return data


async def shown(rest: Rest, order: Any, state_: str, *words: str) -> str:
    """Page and data of this state; the page says these words."""
    assert (await state(rest, order))["state"] == state_
    page = await open_page(rest, path(order))
    assert page.status_code == 200
    assert f'data-state="{state_}"' in page.text
    for word in words:
        assert word in page.text
    return page.text


async def told(rest: Rest, world: World, payment_sn: str) -> None:
    notice = world.provider.notice(payment_sn)
    assert (await rest.call("POST", "/payments/notify/alipay", as_="", content=notice)).text == "success"


# ---- after its time the link shows, and does not pay ----


async def test_late_money_is_seen_on_its_way_back_and_then_back(rest: Rest, world: World) -> None:
    order, payment_sn = await opened(rest, world)
    await world.clock.advance(1800)
    await world.timeout.run_once()
    assert PAY not in await shown(rest, order, "cancelled", "订单已取消")
    world.provider.pay(payment_sn)
    world.real_ms += 2000
    page = await open_page(rest, path(order))
    assert "正在退款" in page.text
    assert "正在退回" in page.text
    assert (await state(rest, order))["refunding_fen"] == 3998
    await world.settlement.refund_due()
    await shown(rest, order, "refunded", "已退款", "39.98")
    refused(await choose(rest, path(order)), 409, "ILLEGAL_TRANSITION")
    page = await open_page(rest, path(order), **{"accept-language": "en"})
    assert "Your payment was refunded." in page.text


async def test_money_that_was_paid_back_by_hand_did_not_take_the_original_way(
    rest: Rest, world: World
) -> None:
    order = await rest.paid()
    world.provider.mode = "refuses"
    await rest.data("POST", f"/admin/orders/{order['order_sn']}/cancel", as_=admin())
    await world.settlement.refund_due()
    assert "原路" not in await shown(rest, order, "refunding", "正在退款")
    (refund,) = (await rest.data("GET", f"/orders/{order['order_sn']}"))["refunds"]
    paid = {"reason": "银行转账"}
    await rest.data("POST", f"/admin/refunds/{refund['refund_sn']}/settle", paid, as_=admin())
    assert "原路" not in await shown(rest, order, "refunded", "已退款")


async def test_an_unpaid_order_whose_time_is_over_says_so_until_it_is_cancelled(
    rest: Rest, world: World
) -> None:
    order = await rest.placed()
    await world.clock.advance(1800)
    assert "<form" not in await shown(rest, order, "over", "支付时间已结束")
    refused(await choose(rest, path(order)), 409, "PAY_WINDOW_CLOSED")
    await world.timeout.run_once()
    await shown(rest, order, "cancelled")


async def test_money_on_its_way_is_confirmed_after_the_time_too(rest: Rest, world: World) -> None:
    order, payment_sn = await opened(rest, world)
    world.provider.mode = "down"
    await world.clock.advance(1801)
    assert "<form" not in await shown(rest, order, "confirming", CONFIRMING)
    refused(await choose(rest, path(order)), 409, "PAY_WINDOW_CLOSED")
    world.provider.mode = "up"
    world.provider.pay(payment_sn)
    world.real_ms += 2000
    await shown(rest, order, "paid", "支付成功")


@pytest.mark.parametrize("days", [1, 400])
async def test_a_paid_order_is_shown_long_after_its_time(rest: Rest, world: World, days: int) -> None:
    order = await rest.paid()
    world.real_ms += days * 86_400_000
    await shown(rest, order, "paid")


async def test_a_second_payment_that_comes_back_leaves_the_order_paid(rest: Rest, world: World) -> None:
    order, first = await opened(rest, world)
    await rest.data(
        "POST", f"/orders/{order['order_sn']}/pay", {"payment_type": "alipay", "trade_type": "wap"}
    )
    second = list(world.provider.ledger)[-1]
    for payment_sn in (second, first):
        world.provider.pay(payment_sn)
        await told(rest, world, payment_sn)
    await shown(rest, order, "paid", "正在退回")
    await world.settlement.refund_due()
    await shown(rest, order, "paid", "已退回")


# ---- a buyer who comes back from the provider ----


async def test_who_paid_sees_it_at_once_though_the_notice_is_lost(rest: Rest, world: World) -> None:
    order, payment_sn = await opened(rest, world)
    world.provider.pay(payment_sn)
    page = await open_page(rest, path(order))
    assert "支付成功" in page.text
    assert PAY not in page.text


async def test_who_did_not_pay_may_go_on(rest: Rest, world: World) -> None:
    order, payment_sn = await opened(rest, world)
    page = await shown(rest, order, "confirming", CONFIRMING, "支付机构尚未收到付款", PAY)
    assert '<details id="again" open>' in page
    assert (await choose(rest, path(order))).headers["location"] == f"pay://{payment_sn}?page"


async def test_while_the_provider_gives_no_answer_the_page_says_that_it_asks(
    rest: Rest, world: World
) -> None:
    order, _ = await opened(rest, world)
    world.provider.mode = "down"
    page = await shown(rest, order, "confirming", CONFIRMING)
    assert '<p class="text" id="asking">' in page
    assert 'id="unpaid" hidden' in page
    assert '<details id="again"><summary>' in page, "there is a way on, but folded"
    assert (await state(rest, order))["provider_says"] == "unknown"


async def test_the_page_asks_again_by_itself_with_and_without_script(rest: Rest, world: World) -> None:
    order, _ = await opened(rest, world)
    page = await open_page(rest, path(order))
    assert 'data-poll="2"' in page.text
    assert '<noscript><meta http-equiv="refresh"' in page.text
    assert 'data-may-pay="true"' in page.text, "when that changes the page is shown anew"
    await world.clock.advance(1800 - 89)
    assert 'data-may-pay="false"' in (await open_page(rest, path(order))).text
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    paid = await open_page(rest, path(await rest.paid()))
    assert "data-poll=" not in paid.text
    assert "refresh" not in paid.text


async def test_the_provider_is_asked_once_in_two_seconds_however_many_look(rest: Rest, world: World) -> None:
    order, payment_sn = await opened(rest, world)
    await asyncio.gather(*(open_page(rest, path(order)) for _ in range(20)))
    assert world.provider.asked == [payment_sn]
    world.real_ms += 1999
    await state(rest, order)
    assert world.provider.asked == [payment_sn]
    world.real_ms += 1
    await state(rest, order)
    assert world.provider.asked == [payment_sn] * 2


async def test_another_instance_that_asked_just_now_is_enough(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, payment_sn = await opened(rest, world)
    turns: list[tuple[str, int]] = []

    async def turn(what: str, for_ms: int) -> bool:
        turns.append((what, for_ms))
        return len(turns) > 1

    monkeypatch.setattr(world.checkout, "turn", turn)
    assert (await state(rest, order))["provider_says"] == "unknown"
    assert world.provider.asked == []
    assert (await state(rest, order))["provider_says"] == "absent"
    assert world.provider.asked == [payment_sn]
    assert turns == [(payment_sn, 2000)] * 2


async def test_a_provider_that_hangs_holds_no_page(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, _ = await opened(rest, world)
    answers, asked = asyncio.Event(), 0

    async def slowly(payment_sn: str) -> Trade:
        nonlocal asked
        asked += 1
        await answers.wait()
        return Trade(TradeState.PAID, "T1", 3998)

    monkeypatch.setattr(world.provider, "query", slowly)
    async with asyncio.timeout(5):
        await shown(rest, order, "confirming", CONFIRMING)
        world.real_ms += 10_000
        monkeypatch.setattr(world.checkout, "wait_s", 9.0)
        await shown(rest, order, "confirming")
    assert asked == 1, "a question on its way is not asked again, and was waited for long enough"
    answers.set()
    await world.checkout.drain()
    await shown(rest, order, "paid")


async def test_a_provider_that_hangs_gathers_no_questions(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "MAX_RUNNING", 1)
    (first, first_sn), (second, _) = [await opened(rest, world) for _ in range(2)]
    answers, asked = asyncio.Event(), []

    async def slowly(payment_sn: str) -> Trade:
        asked.append(payment_sn)
        await answers.wait()
        return Trade(TradeState.WAITING)

    monkeypatch.setattr(world.provider, "query", slowly)
    for order in (first, second):
        assert (await state(rest, order))["provider_says"] == "unknown"
    assert asked == [first_sn]
    answers.set()
    await world.checkout.drain()
    assert (await state(rest, second))["provider_says"] == "waiting"


async def test_questions_are_bounded(rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "MAX_REMEMBERED", 2)
    orders = [(await opened(rest, world))[0] for _ in range(3)]
    for order in orders:
        assert (await state(rest, order))["state"] == "confirming"
    assert len(world.provider.asked) == 2
    world.real_ms += 2000
    await state(rest, orders[2])
    assert len(world.provider.asked) == 3, "what is old makes room"


async def test_only_a_valid_link_and_an_open_attempt_lead_to_a_question(rest: Rest, world: World) -> None:
    order, _ = await opened(rest, world)
    spoiled = path(order)[:-4] + "AAAA"
    refused(await rest.call("GET", spoiled, as_="", headers=JSON), 401, "SIGNATURE_INVALID")
    await rest.call("HEAD", path(order), as_="", headers=HTML)
    await state(rest, await rest.paid())
    await state(rest, await rest.placed())
    await state(rest, await rest.placed(), "&out_trade_no=P261121080000000000000000001")
    assert world.provider.asked == []


async def test_who_returns_from_an_attempt_that_was_closed_meanwhile_is_recognised(
    rest: Rest, world: World
) -> None:
    order, first = await opened(rest, world)
    await rest.data(
        "POST", f"/orders/{order['order_sn']}/pay", {"payment_type": "alipay", "trade_type": "wap"}
    )
    world.provider.pay(first)
    assert (await state(rest, order, f"&out_trade_no={first}&sign=x"))["state"] == "paid"


async def test_who_returns_from_a_closed_attempt_of_a_silent_provider_is_not_asked_to_pay_again(
    rest: Rest, world: World
) -> None:
    order, payment_sn = await opened(rest, world)
    attempt = await world.store.payments.find(payment_sn)
    assert attempt is not None
    assert not (await world.attempts.close(attempt)).is_open
    back = f"&out_trade_no={payment_sn}"
    assert (await state(rest, order, back))["state"] == "pending"
    world.provider.mode = "down"
    world.real_ms += 2000
    page = await open_page(rest, path(order) + back)
    assert 'data-state="confirming"' in page.text
    assert CONFIRMING in page.text
    assert (await state(rest, order, back))["state"] == "confirming"
    assert (await state(rest, order))["state"] == "pending"
    world.provider.mode = "up"
    world.provider.pay(payment_sn)
    world.real_ms += 2000
    assert (await state(rest, order, back))["state"] == "paid"


async def test_who_returns_to_a_cancelled_order_sees_late_money_by_itself(rest: Rest, world: World) -> None:
    order, payment_sn = await opened(rest, world)
    attempt = await world.store.payments.find(payment_sn)
    assert attempt is not None
    await world.attempts.close(attempt)
    await rest.data("POST", f"/orders/{order['order_sn']}/cancel")
    back = f"&out_trade_no={payment_sn}"
    assert "data-poll=" not in (await open_page(rest, path(order))).text
    assert "data-poll=" not in (await open_page(rest, path(order) + back)).text, "no money is known of"
    world.provider.pay(payment_sn)
    world.provider.mode = "down"
    world.real_ms += 2000
    assert 'data-poll="3"' in (await open_page(rest, path(order) + back)).text
    world.provider.mode = "up"
    world.real_ms += 2000
    assert (await state(rest, order, back))["state"] == "refunding"


# ---- the shop's own pages ----

DONE, CART = f"{PUBLIC_URL}/thanks?a=1&b=2", f"{PUBLIC_URL}/cart"


def links(page: str) -> list[str]:
    return re.findall(r'<a class="(?:button|back)" href="([^"]*)">返回商店</a>', page)


async def test_the_pages_link_to_the_shop(rest: Rest, world: World) -> None:
    order = await rest.placed(return_url=DONE, cancel_url=CART)
    assert links(await shown(rest, order, "pending")) == [CART]
    await choose(rest, path(order))
    (payment_sn,) = world.provider.ledger
    assert links(await shown(rest, order, "confirming")) == [CART]
    world.provider.pay(payment_sn)
    world.real_ms += 2000
    assert links(await shown(rest, order, "paid")) == [escape(DONE)]
    detail = await rest.data("GET", f"/orders/{order['order_sn']}")
    assert (detail["return_url"], detail["cancel_url"]) == (DONE, CART)
    data = await state(rest, order)
    assert (data["return_url"], data["cancel_url"]) == (DONE, CART)


async def test_what_came_to_nothing_leads_to_the_page_for_that(rest: Rest, world: World) -> None:
    order = await rest.placed(return_url=DONE, cancel_url=CART)
    await world.clock.advance(1800)
    assert links(await shown(rest, order, "over")) == [CART]
    await world.timeout.run_once()
    assert links(await shown(rest, order, "cancelled")) == [CART]
    bare = await rest.placed()
    assert links(await shown(rest, bare, "pending")) == []
    assert (await rest.data("GET", f"/orders/{bare['order_sn']}"))["return_url"] is None


@pytest.mark.parametrize("field", ["return_url", "cancel_url"])
async def test_an_address_that_is_not_allowed_places_no_order(rest: Rest, field: str) -> None:
    answer = await rest.call("POST", "/orders", PLACE | {field: "https://evil.example/"})
    assert refused(answer, 400, "INVALID_ARGUMENT")["field"] == field
    assert (await rest.data("GET", "/orders"))["total"] == 0


async def test_an_address_that_is_allowed_no_more_is_not_linked_to(rest: Rest, world: World) -> None:
    order = await rest.placed(cancel_url=CART)
    world.allowed.clear()
    assert links(await shown(rest, order, "pending")) == []
    assert (await state(rest, order))["cancel_url"] is None


async def test_the_same_key_with_other_pages_is_another_command(rest: Rest) -> None:
    key = {"idempotency-key": "k"}
    body = PLACE | {"return_url": DONE}
    first = await rest.data("POST", "/orders", body, headers=key)
    assert (await rest.data("POST", "/orders", body, headers=key))["order_sn"] == first["order_sn"]
    refused(await rest.call("POST", "/orders", PLACE, headers=key), 422, "KEY_REUSED")


async def test_the_page_names_shop_and_items(rest: Rest) -> None:
    order = await rest.placed()
    plain = await open_page(rest, path(order))
    assert "<title>收银台</title>" in plain.text
    for words in ("苹果", "×2", "¥39.98"):
        assert words in plain.text
    rest.shop_name = "A & B <小铺>"
    named = await open_page(rest, path(order))
    assert "<title>收银台 · A &amp; B &lt;小铺&gt;</title>" in named.text
    data = await state(rest, order)
    assert (data["shop_name"], data["items"][0]["goods_name"]) == ("A & B <小铺>", "苹果")
