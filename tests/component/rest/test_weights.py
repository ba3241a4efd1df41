"""Limits count what is answered: a list has few items of each order, and a large answer is several calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shop_order.domain.ports import OrderPage
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.ratelimit import open_limiter
from shop_order.web.auth.limits import BYTES_PER_CALL, MAX_CONCURRENT_LISTS, RateLimits, Rates
from tests.component.rest.front import Rest, admin, refused, token
from tests.world.shop import GOODS, World

MANY = range(100, 200)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A Shop with enough goods for long orders."""
    goods = GOODS | {number: replace(GOODS[1], id=number) for number in MANY}
    shop = await World(goods=goods, stocks=dict.fromkeys(goods, 1_000)).open()
    yield shop
    await shop.close()


async def long_orders(rest: Rest, count: int, lines: int = 100) -> list[str]:
    """Cancelled orders of many lines: there may be as many as one likes."""
    items = [{"goods_id": str(number), "nums": 1} for number in MANY[:lines]]
    numbers = []
    for _ in range(count):
        numbers.append((await rest.placed(items=items))["order_sn"])
        await rest.data("POST", f"/orders/{numbers[-1]}/cancel")
    return numbers


async def test_a_list_has_the_first_five_items_and_their_number(rest: Rest) -> None:
    (order_sn,) = await long_orders(rest, 1, lines=7)
    await rest.placed()
    whole = await rest.data("GET", f"/orders/{order_sn}")
    for query, bearer in (
        ("", token()),
        ("?user_id=7", admin()),
        ("", admin()),
        (f"?order_sn={order_sn}", ""),
    ):
        listed = (await rest.data("GET", f"/orders{query}", as_=bearer or None))["items"]
        found = next(order for order in listed if order["order_sn"] == order_sn)
        assert found["items"] == whole["items"][:5]
        assert (found["items_total"], whole["items_total"], len(whole["items"])) == (7, 7, 7)
        assert all(order["items_total"] == 1 for order in listed if order["order_sn"] != order_sn)


async def test_large_lists_are_limited_and_ordinary_calls_are_not(rest: Rest) -> None:
    await long_orders(rest, 40)
    rest.rates = Rates(user_rate=1, user_burst=20)
    sizes = [len((await rest.call("GET", "/orders?page_size=100")).content) for _ in range(2)]
    assert sizes[0] > BYTES_PER_CALL
    statuses = [(await rest.call("GET", "/orders?page_size=100")).status_code for _ in range(18)]
    assert 429 in statuses[:12], "twenty of them were free"
    late = await rest.call("GET", "/cart")
    refused(late, 429, "RATE_LIMITED")
    assert int(late.headers["retry-after"]) >= 1
    others = [(await rest.call("GET", "/cart", as_=token(8))).status_code for _ in range(20)]
    assert others == [200] * 20


async def test_of_one_caller_few_lists_are_made_at_once(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0

    async def slow(*_: object, **__: object) -> OrderPage:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return OrderPage([], 0, None)

    monkeypatch.setattr(rest.world.orders, "list", slow)
    answers = await asyncio.gather(*(rest.call("GET", "/orders") for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert most == MAX_CONCURRENT_LISTS
    assert not rest.parts.limits._list_slots


class Charges:
    """A limiter that lets everybody pass and remembers what was charged."""

    def __init__(self) -> None:
        self.charged: list[tuple[Any, ...]] = []

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        return 0.0

    async def charge(self, *what: Any) -> None:
        self.charged.append(what)


async def test_an_answer_is_weighed_by_its_bytes() -> None:
    limiter = Charges()
    rates = Rates(user_rate=20, user_burst=100, global_rate=50, global_burst=70)
    limits = RateLimits(limiter, lambda: rates)
    buyer, nobody = Actor(Role.USER, 7), Actor(Role.SERVICE, 0)
    await limits.charge(buyer, BYTES_PER_CALL - 1)
    assert limiter.charged == []
    await limits.charge(buyer, BYTES_PER_CALL * 3 + 1)
    await limits.charge(nobody, BYTES_PER_CALL)
    assert limiter.charged == [("user:7", 20, 100, 3), ("global", 50, 70, 3), ("global", 50, 70, 1)]
    off = RateLimits(limiter, lambda: Rates(user_rate=0))
    await off.charge(buyer, BYTES_PER_CALL * 3)
    assert len(limiter.charged) == 3


async def test_a_debt_is_paid_by_waiting() -> None:
    rates = Rates(user_rate=1_000, user_burst=10)
    limits = RateLimits(open_limiter("memory://", 10), lambda: rates)
    buyer = Actor(Role.USER, 7)
    await limits.check(buyer)
    await limits.charge(buyer, BYTES_PER_CALL * 100)
    with pytest.raises(Exception, match="RATE_LIMITED"):
        await limits.check(buyer)
    await asyncio.sleep(0.15)
    await limits.check(buyer)
