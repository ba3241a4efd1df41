"""The table of architecture, chapter 7: whatever is cut off, and wherever, comes right by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shop_order.domain.errors import DependencyDown
from shop_order.domain.status import PaymentType
from tests.faults.cuts import Cut, die_and_come_back
from tests.shop import ADDRESS, Shop

ORDERS = "/api/v1/orders"
GOODS = 101
NUMS = 2
PENDING, PAID, COMPLETED, CANCELLED = 1, 2, 4, 5


async def place(shop: Shop, key: str) -> httpx.Response:
    """POST /orders with a key; the answer may be any."""
    body = {"items": [{"goods_id": GOODS, "nums": NUMS}], "address": ADDRESS}
    return await shop.http.post(ORDERS, json=body, headers=shop.bearer() | {"Idempotency-Key": key})


async def lease_states(shop: Shop) -> Counter[str]:
    """How many leases are in which state."""
    return Counter(lease.state for lease in await shop.core.stock.leases("", 500))


async def available(shop: Shop) -> int:
    """How many could be bought."""
    found: int = (await shop.core.stock.available([GOODS]))[GOODS]
    return found


async def order_numbers(shop: Shop) -> list[str]:
    """Every order there is."""
    return list(await shop.core.store.audit.order_sns("", 500))


async def events_of(shop: Shop, order_sn: str) -> Counter[str]:
    """How often each event is in its history."""
    return Counter(event.type for event in await shop.core.store.orders.history(order_sn))


# ---- placing ----

BEFORE_RESERVE: list[Callable[[Any], Cut]] = [
    lambda core: Cut(core.goods, "get_many"),
    lambda core: Cut(core.stock, "reserve"),
]
RESERVED: list[Callable[[Any], Cut]] = [
    lambda core: Cut(core.stock, "reserve", after=True),
    lambda core: Cut(core.store.orders, "add"),
]


@pytest.mark.parametrize("cut_at", BEFORE_RESERVE, ids=["goods looked up", "about to reserve"])
async def test_killed_before_reserve_nothing_happened(shop: Shop, cut_at: Callable[[Any], Cut]) -> None:
    cut = cut_at(shop.core)
    lost = asyncio.create_task(place(shop, "k"))
    await cut.reached.wait()
    await die_and_come_back(shop, cut)
    await asyncio.gather(lost, return_exceptions=True)
    assert await order_numbers(shop) == []
    assert await lease_states(shop) == {}

    again = await place(shop, "k")
    assert again.status_code == 200
    assert "Idempotency-Replayed" not in again.headers
    assert await lease_states(shop) == {"reserved": 1}
    await shop.check_doctor()


@pytest.mark.parametrize("cut_at", RESERVED, ids=["reply of reserve", "before the commit"])
async def test_killed_before_the_commit_the_lease_comes_back_once(
    shop: Shop, cut_at: Callable[[Any], Cut]
) -> None:
    stock = await available(shop)
    cut = cut_at(shop.core)
    lost = asyncio.create_task(place(shop, "k"))
    await cut.reached.wait()
    assert await available(shop) == stock - NUMS
    await die_and_come_back(shop, cut)
    await asyncio.gather(lost, return_exceptions=True)
    assert await order_numbers(shop) == []

    assert (await place(shop, "k")).status_code == 200

    async def given_back() -> bool:
        return await lease_states(shop) == {"released": 1, "reserved": 1}

    await shop.until(given_back)
    assert await available(shop) == stock - NUMS
    await shop.check_doctor()


async def test_killed_between_commit_and_reply_the_key_finds_the_order(shop: Shop) -> None:
    cut = Cut(shop.core.store.orders, "add", after=True)
    lost = asyncio.create_task(place(shop, "k"))
    await cut.reached.wait()
    await die_and_come_back(shop, cut)
    await asyncio.gather(lost, return_exceptions=True)
    (stored,) = await order_numbers(shop)

    again = await place(shop, "k")
    assert again.json()["data"]["order_sn"] == stored
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await order_numbers(shop) == [stored]
    assert await lease_states(shop) == {"reserved": 1}
    await shop.check_doctor()


async def test_a_lost_reply_of_reserve_is_a_refusal_and_the_lease_comes_back(shop: Shop) -> None:
    stock = await available(shop)
    Cut(shop.core.stock, "reserve", after=True, error=DependencyDown("inventory_service"))
    assert (await place(shop, "k")).status_code == 503
    assert await lease_states(shop) == {"reserved": 1}

    async def given_back() -> bool:
        return await lease_states(shop) == {"released": 1}

    await shop.until(given_back)
    assert await available(shop) == stock
    assert (await place(shop, "k")).status_code == 200
    assert await available(shop) == stock - NUMS
    await shop.check_doctor()


async def test_a_commit_that_comes_after_the_lease_was_given_back_is_refused(shop: Shop) -> None:
    stock = await available(shop)
    cut = Cut(shop.core.store.orders, "add")
    slow = asyncio.create_task(place(shop, "k"))
    await cut.reached.wait()

    async def given_back() -> bool:
        return await lease_states(shop) == {"released": 1}

    await shop.until(given_back)
    cut.mend()
    refused = await slow
    assert (refused.status_code, refused.json()["error"]) == (409, "PLACING_GIVEN_UP")
    assert await order_numbers(shop) == []
    assert (await place(shop, "k")).status_code == 200
    assert await available(shop) == stock - NUMS
    await shop.check_doctor()


async def test_silence_keeps_the_lease_of_an_order_that_is_stored(shop: Shop) -> None:
    assert (await place(shop, "k")).status_code == 200
    await shop.stop_service()
    await asyncio.sleep(1.6)  # past the lease; nobody answers
    await shop.start_service()
    assert await lease_states(shop) == {"reserved": 1}
    await asyncio.sleep(1.0)  # asked again, and answered
    assert await lease_states(shop) == {"reserved": 1}
    await shop.check_doctor()


# ---- publishing ----


async def finished_order(shop: Shop) -> str:
    """An order that was paid, shipped and confirmed."""
    order_sn: str = (await shop.paid(goods=GOODS, nums=NUMS))["order_sn"]
    await shop.ship(order_sn)
    answer = await shop.http.post(f"{ORDERS}/{order_sn}/confirm", headers=shop.bearer())
    assert answer.json()["data"]["status"] == COMPLETED
    return order_sn


async def consumers_did_it_once(shop: Shop, order_sn: str) -> None:
    """Stock sold once, the buyer told once, the sale counted once."""
    await shop.check_doctor()
    assert await lease_states(shop) == {"confirmed": 1}
    told = (await shop.provider.get("/admin/notifications")).json()
    assert [one["order_sn"] for one in told] == [order_sn]
    sales = (await shop.provider.get("/admin/sales")).json()
    assert [(one["goods_id"], one["orders"], one["nums"]) for one in sales] == [(GOODS, 1, NUMS)]
    assert (await shop.provider.get("/admin/dead-letters")).json() == []


async def test_killed_before_publishing_the_relay_goes_on_after_the_start(shop: Shop) -> None:
    cut = Cut(shop.core.inboxes, "deliver")
    order_sn = await finished_order(shop)
    await cut.reached.wait()
    await die_and_come_back(shop, cut)
    await consumers_did_it_once(shop, order_sn)


async def test_killed_between_publishing_and_marking_the_duplicate_is_absorbed(shop: Shop) -> None:
    waiting = Cut(shop.core.store.outbox, "take")
    order_sn = await finished_order(shop)
    unmarked = Cut(shop.core.store.outbox, "published")
    waiting.mend()
    await unmarked.reached.wait()
    told = (await shop.provider.get("/admin/notifications")).json()
    assert len(told) == 1, "the events did arrive before the kill"
    assert (await shop.core.store.outbox.lag())[0] >= 5
    await die_and_come_back(shop, unmarked)
    await consumers_did_it_once(shop, order_sn)


async def test_a_lost_acknowledgement_changes_nothing_when_the_events_come_again(shop: Shop) -> None:
    waiting = Cut(shop.core.store.outbox, "take")
    order_sn = await finished_order(shop)
    lost = Cut(shop.core.inboxes, "deliver", after=True, error=DependencyDown("event_inbox"))
    waiting.mend()
    await lost.reached.wait()
    await consumers_did_it_once(shop, order_sn)


# ---- money ----


async def status_is(shop: Shop, order_sn: str, status: int) -> None:
    """Wait for it."""

    async def there() -> bool:
        return bool((await shop.order(order_sn))["status"] == status)

    await shop.until(there)


@pytest.mark.parametrize("after", [False, True], ids=["before its commit", "before the answer"])
async def test_killed_in_a_callback_the_providers_retry_settles_it(shop: Shop, after: bool) -> None:
    order_sn = (await shop.place())["order_sn"]
    attempt = await shop.open_attempt(order_sn)
    cut = Cut(shop.core.store.orders, "change", after=after)
    paying = asyncio.create_task(shop.provider_does(attempt["payment_sn"], "pay"))
    await cut.reached.wait()
    await die_and_come_back(shop, cut)
    await asyncio.gather(paying, return_exceptions=True)
    await status_is(shop, order_sn, PAID)

    async def accepted() -> bool:
        state = (await shop.provider.get(f"/alipay/sim/{attempt['payment_sn']}")).json()
        return [notice["answer"] for notice in state["notices"]] == ["success"]

    await shop.until(accepted)
    assert (await events_of(shop, order_sn))["order.paid"] == 1
    await shop.check_doctor()


async def test_a_notice_that_never_comes_is_replaced_by_our_question(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    attempt = await shop.open_attempt(order_sn)
    await shop.provider_does(attempt["payment_sn"], "pay", notice=0)
    assert (await shop.order(order_sn))["status"] == PENDING
    await shop.advance(31)
    await status_is(shop, order_sn, PAID)
    await shop.check_doctor()


async def late_payment(shop: Shop) -> tuple[str, str]:
    """Order and attempt of money that comes after the cancellation."""
    order_sn = (await shop.place())["order_sn"]
    payment_sn = (await shop.open_attempt(order_sn))["payment_sn"]
    assert (await shop.http.post(f"{ORDERS}/{order_sn}/cancel", headers=shop.bearer())).status_code == 200
    await shop.provider_does(payment_sn, "pay_late")
    return order_sn, payment_sn


async def one_refund(shop: Shop, order_sn: str, payment_sn: str) -> None:
    """The provider gave the whole sum back, once, and we know."""

    async def known() -> bool:
        await shop.advance(5)  # past the first pause between tries
        return (await events_of(shop, order_sn))["refund.succeeded"] == 1

    await shop.until(known)
    trade = (await shop.provider.get(f"/alipay/sim/{payment_sn}")).json()
    assert [refund["amount_fen"] for refund in trade["refunds"]] == [trade["amount_fen"]]
    assert (await events_of(shop, order_sn))["refund.requested"] == 1
    await shop.check_doctor()


@pytest.mark.parametrize("fault", ["lost", "unknown", "down"])
async def test_a_refund_without_an_answer_is_sent_again_under_its_number(shop: Shop, fault: str) -> None:
    planted = {"method": "alipay.trade.refund", "fault": fault, "times": 2}
    assert (await shop.provider.post("/alipay/sim/faults", json=planted)).status_code == 200
    await one_refund(shop, *await late_payment(shop))


@pytest.mark.parametrize("after", [False, True], ids=["before it was sent", "before its answer"])
async def test_killed_while_refunding_there_is_one_refund(shop: Shop, after: bool) -> None:
    cut = Cut(shop.core.channels[PaymentType.ALIPAY], "refund", after=after)
    order_sn, payment_sn = await late_payment(shop)
    await cut.reached.wait()
    await die_and_come_back(shop, cut)
    await one_refund(shop, order_sn, payment_sn)
