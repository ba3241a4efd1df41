"""The button `Pay late` is late: the buyer waits until the time is over or the merchant gave the trade up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from shop_order.configs import load
from shop_order.domain.entity.payment import GRACE_MS
from shop_sandbox.payments.late import LATE_PAYMENT_DELAY_MS
from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import Merchant, merchant_of

CLOSE = "alipay.trade.close"


async def press(merchant: Merchant, action: str = "pay_late") -> None:
    reply = await merchant.client.post(f"{merchant.base}/cashier/P1/{action}")
    assert (reply.status_code, reply.headers["location"]) == (303, "/alipay/cashier/P1")


async def page(merchant: Merchant) -> str:
    return (await merchant.client.get(f"{merchant.base}/cashier/P1")).text


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110 - the condition lies in another part, which tells nobody
            await asyncio.sleep(0.01)


async def is_paid(merchant: Merchant) -> bool:
    return await status(merchant) == "TRADE_SUCCESS" and bool(merchant.notices)


async def status(merchant: Merchant) -> object:
    return (await merchant.state())["trade_status"]


async def test_with_time_left_the_buyer_waits_until_it_is_over(merchant: Merchant, clock: Clock) -> None:
    await merchant.open("P1", timeout_express="5m")
    assert "等到超时之后" in await page(merchant)
    await press(merchant)
    await press(merchant)
    waiting = await page(merchant)
    assert "买家正在等待" in waiting
    assert "/api/v1/admin/clock" in waiting, "how a developer makes it come"
    (advance_s,) = re.findall(r"advance_s&quot;: (\d+)", waiting)
    assert int(advance_s) * 1000 > 300_000 + GRACE_MS, "far enough for the shop to give the trade up"
    assert 'action="/alipay/cashier/P1/pay_late"' not in waiting
    assert (await status(merchant), merchant.notices) == ("", [])
    clock.ahead_ms += 300_000 + LATE_PAYMENT_DELAY_MS
    await until(lambda: is_paid(merchant))
    (notice,) = merchant.notices
    assert notice["gmt_payment"] > str((await merchant.state())["time_expire"])
    assert "买家正在等待" not in await page(merchant)


def test_who_pays_late_lets_the_shop_cancel_the_order_first(tmp_path: Path) -> None:
    interval_s = load({"SHOP_ORDER_DATA_DIR": str(tmp_path)}).settings.order.scan_interval_s
    assert interval_s * 1000 < LATE_PAYMENT_DELAY_MS


async def test_the_merchant_who_closes_the_trade_ends_the_waiting(merchant: Merchant, clock: Clock) -> None:
    await merchant.open()
    await press(merchant)
    answer = await merchant.call(CLOSE, out_trade_no="P1")
    assert answer["sub_code"] == "ACQ.TRADE_NOT_EXIST", "no buyer had begun it, and one may still pay"
    clock.ahead_ms += LATE_PAYMENT_DELAY_MS
    await until(lambda: is_paid(merchant))


async def test_when_it_is_late_already_the_buyer_pays_at_once(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("scan")
    await merchant.call(CLOSE, out_trade_no="P1")
    assert "已超时，款项照样到账" in await page(merchant)
    reply = await merchant.client.post(f"{merchant.base}/cashier/P1/pay_late")
    assert reply.headers["location"].startswith("http://127.0.0.1:1/back"), "as after any payment"
    assert len(merchant.notices) == 1


async def test_who_pays_in_time_after_all_pays_once(merchant: Merchant, clock: Clock) -> None:
    await merchant.open("P1", timeout_express="5m")
    await press(merchant)
    await merchant.client.post(f"{merchant.base}/cashier/P1/pay")
    assert "买家正在等待" not in await page(merchant)
    clock.ahead_ms += 300_000 + LATE_PAYMENT_DELAY_MS
    await merchant.open("P2", timeout_express="5m")
    clock.ahead_ms += 300_000 + LATE_PAYMENT_DELAY_MS
    await merchant.client.post(f"{merchant.base}/cashier/P2/pay_late")
    assert [one["out_trade_no"] for one in merchant.notices] == ["P1", "P2"]


async def test_a_waiting_buyer_is_there_after_a_restart(settings: SandboxSettings, clock: Clock) -> None:
    first = Sandbox(settings, clock_ms=clock)
    async with first, merchant_of(first) as merchant:
        await merchant.open("P1", timeout_express="5m")
        await press(merchant)
    clock.ahead_ms += 300_000 + LATE_PAYMENT_DELAY_MS
    second = Sandbox(settings, clock_ms=clock)
    async with second, merchant_of(second) as merchant:

        async def paid() -> bool:
            return await status(merchant) == "TRADE_SUCCESS"

        await until(paid)


async def test_a_program_pays_late_at_once_since_it_knows_the_shops_clock(merchant: Merchant) -> None:
    await merchant.open()
    reply = await merchant.act("pay_late")
    assert (reply.status_code, reply.json()["body"]) == (200, "success")
