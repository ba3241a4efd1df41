"""A provider that writes GBK: the whole way of money, in notices and in answers, over the real protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.billed import BilledShop
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path, ORDER__SCAN_INTERVAL_S="0.1") as running:
        yield running


async def in_gbk(shop: Shop) -> None:
    """From now on the provider writes so."""
    switched = await shop.provider.post("/alipay/sim/charset", json={"notices": "GBK", "answers": "GBK"})
    assert switched.status_code == 200


async def test_a_payment_is_told_and_asked_about_and_given_back(shop: Shop) -> None:
    await in_gbk(shop)
    told = await shop.paid()
    assert told["status"] == 2
    placed = await shop.place(8)
    attempt = await shop.open_attempt(placed["order_sn"], 8)
    await shop.provider_does(attempt["payment_sn"], "pay", notice=0)
    await shop.advance(60)

    async def is_asked() -> bool:
        return bool((await shop.order(placed["order_sn"], 8))["status"] == 2)

    await shop.until(is_asked)
    late = await shop.place(9)
    attempt = await shop.open_attempt(late["order_sn"], 9)
    answer = await shop.http.post(f"/api/v1/orders/{late['order_sn']}/cancel", headers=shop.bearer(9))
    assert answer.status_code == 200
    await shop.provider_does(attempt["payment_sn"], "pay_late")

    async def is_back() -> bool:
        (payment,) = (await shop.order(late["order_sn"], 9))["payments"]
        return bool(payment["status"] == 3)

    await shop.until(is_back)
    await shop.check_doctor()


async def test_a_bills_address_is_read(tmp_path: Path) -> None:
    async with BilledShop(tmp_path) as shop:
        await in_gbk(shop)
        await shop.paid()
        shop.day_is_over()
        result = await shop.reconciled()
        assert (result.ours.trades, result.theirs.trades, result.differences) == (1, 1, 0)
