"""Notices: really signed, repeated until `success`, over restarts; and what a thief or chance sends."""

import asyncio
from collections.abc import Callable

from shop_sandbox.alipay import signing
from shop_sandbox.alipay.notices import RETRY_AFTER_S
from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import ORDER_SN, Merchant, merchant_of
from tests.shop import alipay


async def until(is_so: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - the condition lies in another part, which tells nobody
            await asyncio.sleep(0.01)


def genuine(merchant: Merchant, notice: dict[str, str]) -> bool:
    return signing.verify(merchant.public, signing.notice_text(notice), notice["sign"])


async def test_a_payment_is_told_with_all_it_needs(merchant: Merchant) -> None:
    await merchant.open()
    reply = (await merchant.act("pay")).json()
    assert (reply["status"], reply["body"], reply["sent"][0]["accepted"]) == (200, "success", True)
    notice = merchant.notices[0]
    assert genuine(merchant, notice)
    wanted = {
        "notify_type": "trade_status_sync",
        "app_id": "2021000000000001",
        "seller_id": "2088000000000001",
        "out_trade_no": "P1",
        "trade_no": reply["trade_no"],
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "19.99",
        "subject": "订单",
        "passback_params": ORDER_SN,
        "sign_type": "RSA2",
    }
    assert {key: notice.get(key) for key in wanted} == wanted
    assert notice["gmt_payment"]


async def test_a_notice_comes_again_until_success_with_the_same_id(merchant: Merchant) -> None:
    merchant.answers = [(200, "failure"), (500, "success"), (200, "success\n")]
    await merchant.open()
    await merchant.act("pay")
    await until(lambda: len(merchant.notices) == 4)
    await asyncio.sleep(0.2)
    assert len(merchant.notices) == 4, "nothing after success"
    assert len({one["notify_id"] for one in merchant.notices}) == 1
    assert all(genuine(merchant, one) for one in merchant.notices)
    notices = (await merchant.state())["notices"]
    assert isinstance(notices, list)
    assert [(one["attempts"], one["accepted"], one["next_ms"]) for one in notices] == [(4, True, None)]


async def test_the_schedule_is_the_providers(merchant: Merchant, sandbox: Sandbox, clock: Clock) -> None:
    assert [wait_s / 60 for wait_s in RETRY_AFTER_S] == [4, 10, 10, 60, 120, 360, 900]
    merchant.answers = [(200, "failure")] * 99
    await merchant.open()
    await merchant.act("pay")
    notice = (await alipay(sandbox).notices.newest("P1"))[0]
    assert (notice.next_ms or 0) - notice.sent_ms == 240_000 // 12_000
    for sent in range(2, 9):
        clock.ahead_ms += 54_000_000
        await until(lambda wanted=sent: len(merchant.notices) >= wanted)  # type: ignore[misc]
    clock.ahead_ms += 540_000_000
    await asyncio.sleep(0.2)
    assert len(merchant.notices) == 8, "after the eighth the provider gives up"
    assert (await alipay(sandbox).notices.newest("P1"))[0].next_ms is None


async def test_pending_notices_survive_a_restart(settings: SandboxSettings) -> None:
    first = Sandbox(settings)
    async with first, merchant_of(first) as merchant:
        merchant.answers = [(500, "")] * 99
        await merchant.open()
        await merchant.act("pay")
        silent = merchant.notices[0]["notify_id"]
    second = Sandbox(settings)
    async with second, merchant_of(second) as merchant:
        move = "UPDATE notice SET url = ?"
        await alipay(second).database.run(lambda one: one.execute(move, (merchant.notify_url,)).rowcount)
        await until(lambda: merchant.notices)
        assert merchant.notices[0]["notify_id"] == silent
        assert merchant.notices[0]["trade_status"] == "TRADE_SUCCESS"


async def test_a_silent_payment_can_be_told_later(merchant: Merchant) -> None:
    await merchant.open()
    reply = await merchant.act("pay", query="?notice=0")
    assert (reply.json()["trade_status"], reply.json()["sent"]) == ("TRADE_SUCCESS", [])
    await asyncio.sleep(0.1)
    assert merchant.notices == []
    await merchant.act("notify_again")
    await merchant.act("notify_again")
    assert len({one["notify_id"] for one in merchant.notices}) == 1
    assert len(merchant.notices) == 2


FORGERIES = {
    "forge_amount": "total_amount",
    "forge_seller": "seller_id",
    "forge_app": "app_id",
    "forge_sign": "",
}


async def test_forgeries_change_nothing_and_come_once(merchant: Merchant) -> None:
    merchant.answers = [(200, "failure")] * len(FORGERIES)
    await merchant.open()
    for action in FORGERIES:
        reply = (await merchant.act(action)).json()
        assert (reply["status"], reply["body"], reply["trade_status"]) == (200, "failure", ""), action
    await asyncio.sleep(0.1)
    assert len(merchant.notices) == len(FORGERIES), "none came again"
    await merchant.act("pay")
    *forged, real = merchant.notices
    for (action, key), notice in zip(FORGERIES.items(), forged, strict=True):
        assert genuine(merchant, notice) is (action != "forge_sign")
        differing = {one for one in ("total_amount", "seller_id", "app_id") if notice[one] != real[one]}
        assert differing == ({key} if key else set())


async def test_paying_twice_pays_another_attempt_of_the_same_order(merchant: Merchant) -> None:
    await merchant.open("P1")
    await merchant.open("P2")
    await merchant.open("P3", passback_params="9" * 27)
    await merchant.act("pay_twice", "P1")
    assert [one["out_trade_no"] for one in merchant.notices] == ["P1", "P2"]
    assert (await merchant.state("P3"))["trade_status"] == ""


async def test_paying_twice_without_another_attempt_tells_it_twice(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay_twice")
    assert [one["out_trade_no"] for one in merchant.notices] == ["P1", "P1"]
    assert merchant.notices[0]["notify_id"] == merchant.notices[1]["notify_id"]


async def test_a_refund_and_a_closing_are_told(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay")
    await merchant.call("alipay.trade.refund", out_trade_no="P1", refund_amount="5.00", out_request_no="R1")
    await until(lambda: len(merchant.notices) == 2)
    part = merchant.notices[1]
    assert (part["trade_status"], part["refund_fee"], part["out_biz_no"]) == ("TRADE_SUCCESS", "5.00", "R1")
    await merchant.act("refund_notice")
    assert merchant.notices[2]["refund_fee"] == "5.00"
    await merchant.act("close_notice")
    assert (merchant.notices[3]["trade_status"], bool(merchant.notices[3]["gmt_close"])) == (
        "TRADE_CLOSED",
        True,
    )
    assert all(genuine(merchant, one) for one in merchant.notices)


async def test_an_unreachable_merchant_is_shown_as_such(merchant: Merchant) -> None:
    merchant.notify_url = "http://127.0.0.1:1/notify"
    await merchant.open()
    reply = (await merchant.act("pay")).json()
    assert (reply["status"], reply["trade_status"]) == (0, "TRADE_SUCCESS")
    assert "ConnectError" in reply["body"]
