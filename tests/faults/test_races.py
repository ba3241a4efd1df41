"""Who comes first: exactly one wins, and money that lost goes back."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.shop import ADDRESS, Shop

ORDERS = "/api/v1/orders"
RACES = 24
PAID, CANCELLED = 2, 5


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """The whole Shop; nothing is scanned unless a test says so."""
    async with Shop(tmp_path, ORDER__SCAN_INTERVAL_S="3600") as running:
        yield running


async def history(shop: Shop, order_sn: str) -> Counter[str]:
    """How often each event happened to it."""
    return Counter(event.type for event in await shop.core.store.orders.history(order_sn))


async def settled(shop: Shop) -> None:
    """Every attempt was asked about, and every refund was sent."""
    for _ in range(2):
        await shop.advance(120)
        while await shop.core.settlement.query_due() + await shop.core.settlement.refund_due():
            pass


async def test_of_payment_cancel_and_timeout_exactly_one_wins(shop: Shop) -> None:
    random = Random(int(os.environ.get("FAULT_SEED", "20261123")))
    attempts = {}
    for _ in range(RACES):
        order_sn = (await shop.place())["order_sn"]
        attempts[order_sn] = (await shop.open_attempt(order_sn))["payment_sn"]
    await shop.advance(1800)

    async def soon(action: Any) -> None:
        await asyncio.sleep(random.uniform(0, 0.4))
        await action()

    async with asyncio.TaskGroup() as group:
        for order_sn, payment_sn in attempts.items():
            pay = lambda sn=payment_sn: shop.provider_does(sn, "pay_late")  # noqa: E731
            cancel = lambda sn=order_sn: shop.http.post(f"{ORDERS}/{sn}/cancel", headers=shop.bearer())  # noqa: E731
            group.create_task(soon(pay))
            group.create_task(soon(cancel))
        for _ in range(4):
            group.create_task(soon(shop.core.timeouts.run_once))
    await settled(shop)

    ends: Counter[int] = Counter()
    for order_sn, payment_sn in attempts.items():
        status = (await shop.order(order_sn))["status"]
        ends[status] += 1
        happened = await history(shop, order_sn)
        trade = (await shop.provider.get(f"/alipay/sim/{payment_sn}")).json()
        back = [refund["amount_fen"] for refund in trade["refunds"]]
        if status == PAID:
            assert (happened["order.paid"], happened["order.cancelled"], back) == (1, 0, [])
        else:
            assert status == CANCELLED
            assert (happened["order.paid"], happened["order.cancelled"]) == (0, 1)
            assert back == [trade["amount_fen"]]
    assert set(ends) == {PAID, CANCELLED}, "one side always came first: this was no race"
    await shop.check_doctor()


async def test_two_scans_at_once_and_one_that_is_killed_have_no_double_effect(shop: Shop) -> None:
    unpaid = [(await shop.place())["order_sn"] for _ in range(8)]
    shipped = []
    for _ in range(4):
        shipped.append((await shop.paid())["order_sn"])
        await shop.ship(shipped[-1])
    await shop.advance(604_800)
    scans = [asyncio.create_task(shop.core.timeouts.run_once()) for _ in range(3)]
    await asyncio.sleep(0.005)
    scans[0].cancel()
    await asyncio.gather(*scans, return_exceptions=True)
    await shop.core.timeouts.run_once()
    assert await shop.core.timeouts.run_once() == 0

    for order_sn in unpaid:
        assert (await history(shop, order_sn))["order.cancelled"] == 1
    for order_sn in shipped:
        assert (await history(shop, order_sn))["order.completed"] == 1
    await shop.check_doctor()


async def test_a_paid_order_whose_notice_was_lost_is_not_cancelled_when_its_time_is_over(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment_sn = (await shop.open_attempt(order_sn))["payment_sn"]
    await shop.provider_does(payment_sn, "pay", notice=0)
    await shop.advance(1800)
    await shop.core.timeouts.run_once()
    assert (await shop.order(order_sn))["status"] == PAID
    await shop.check_doctor()


async def test_one_key_from_many_callers_at_once_makes_one_order_and_one_attempt(shop: Shop) -> None:
    me = shop.bearer() | {"Idempotency-Key": "k"}
    body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
    answers = await asyncio.gather(*(shop.http.post(ORDERS, json=body, headers=me) for _ in range(12)))
    assert Counter(answer.status_code for answer in answers) == {200: 12}
    (order_sn,) = {answer.json()["data"]["order_sn"] for answer in answers}
    pays = await asyncio.gather(
        *(
            shop.http.post(f"{ORDERS}/{order_sn}/pay", json={"payment_type": "alipay"}, headers=shop.bearer())
            for _ in range(12)
        )
    )
    assert len({pay.json()["data"]["payment_sn"] for pay in pays}) == 1
    assert (await history(shop, order_sn)) == {"order.created": 1, "payment.opened": 1}
    await shop.check_doctor()
