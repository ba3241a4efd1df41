"""Refunds at WeChat Pay: once per number, PROCESSING first, and every end they can have."""

import asyncio
from collections.abc import Callable
from typing import Any

from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.wechat_merchant import REFUNDS, WechatMerchant, wechat_merchant_of


async def until_told(wechat: WechatMerchant, event: str) -> dict[str, Any]:
    """The resource of the first notice of this event."""
    async with asyncio.timeout(5):
        while not (found := [one for one in wechat.told if one.envelope["event_type"] == event]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert found[0].genuine
    return dict(found[0].resource)


async def paid(wechat: WechatMerchant, out_trade_no: str = "P000001") -> None:
    await wechat.open(out_trade_no)
    await wechat.act("pay", out_trade_no, "?notice=0")


async def test_a_refund_is_processing_and_then_told(wechat: WechatMerchant) -> None:
    await paid(wechat)
    status, first = await wechat.refund(500)
    assert (status, first["status"], first["amount"]["refund"]) == (200, "PROCESSING", 500)
    assert "success_time" not in first
    told = await until_told(wechat, "REFUND.SUCCESS")
    assert (told["out_refund_no"], told["refund_status"], told["amount"]["refund"]) == ("R1", "SUCCESS", 500)
    _, again = await wechat.refund(500)
    assert (again["refund_id"], again["status"]) == (first["refund_id"], "SUCCESS")
    assert again["success_time"] == told["success_time"]
    assert len((await wechat.state())["refunds"]) == 1


async def test_one_number_means_one_amount_of_one_trade(wechat: WechatMerchant) -> None:
    await paid(wechat)
    await paid(wechat, "P000002")
    await wechat.refund(500)
    for fen, out_trade_no in ((501, "P000001"), (500, "P000002")):
        status, answer = await wechat.refund(fen, "R1", out_trade_no)
        assert (status, answer["code"]) == (400, "INVALID_REQUEST")
    assert (await wechat.call("GET", f"{REFUNDS}/R2"))[1]["code"] == "RESOURCE_NOT_EXISTS"


async def test_fifty_requests_at_once_refund_once(wechat: WechatMerchant) -> None:
    await paid(wechat)
    answers = await asyncio.gather(*(wechat.refund(1999) for _ in range(50)))
    assert {answer["refund_id"] for _, answer in answers} == {answers[0][1]["refund_id"]}
    assert (await wechat.state())["refunds"][0]["amount_fen"] == 1999
    assert len((await wechat.state())["refunds"]) == 1


async def test_never_more_goes_back_than_was_paid_nor_in_more_than_fifty_parts(
    wechat: WechatMerchant, clock: Clock
) -> None:
    await wechat.open()
    assert (await wechat.refund(1))[1]["code"] == "RESOURCE_NOT_EXISTS", "unpaid"
    await wechat.act("pay", query="?notice=0")
    assert (await wechat.refund(2000))[1]["code"] == "INVALID_REQUEST"
    body = wechat.refund_body(1) | {"amount": {"refund": 1, "total": 1998, "currency": "CNY"}}
    assert (await wechat.call("POST", REFUNDS, body))[1]["code"] == "INVALID_REQUEST"
    for number in range(50):
        assert (await wechat.refund(1, f"R{number}"))[0] == 200
    assert (await wechat.refund(1, "R50"))[1]["code"] == "INVALID_REQUEST"
    await paid(wechat, "P000002")
    assert (await wechat.refund(1999, "S1", "P000002"))[0] == 200
    assert "全额" in (await wechat.refund(1, "S2", "P000002"))[1]["message"]
    await paid(wechat, "P000003")
    clock.ahead_ms += 366 * 86_400_000
    assert "一年" in (await wechat.refund(1, "T1", "P000003"))[1]["message"]


async def test_a_refund_may_stay_and_be_ended_by_an_operator(wechat: WechatMerchant) -> None:
    await paid(wechat)
    await wechat.act("refund_stay")
    await wechat.refund(500)
    await asyncio.sleep(0.2)
    assert await wechat.refund_state() == "PROCESSING"
    await wechat.act("end_refund_abnormal")
    assert (await until_told(wechat, "REFUND.ABNORMAL"))["refund_status"] == "ABNORMAL"
    await wechat.act("end_refund_success")
    await until_told(wechat, "REFUND.SUCCESS")
    assert (await wechat.act("end_refund_success")).status_code == 404


async def test_a_closed_refund_gives_its_amount_free_for_another_number(wechat: WechatMerchant) -> None:
    await paid(wechat)
    await wechat.act("refund_closed")
    await wechat.refund(1999)
    told = await until_told(wechat, "REFUND.CLOSED")
    assert (told["refund_status"], "success_time" in told) == ("CLOSED", False)
    assert (await wechat.query())["trade_state"] == "SUCCESS"
    assert (await wechat.refund(1999))[1]["status"] == "CLOSED", "the old number stays closed"
    await wechat.refund(1999, "R2")
    await until_told(wechat, "REFUND.SUCCESS")
    assert (await wechat.query())["trade_state"] == "REFUND"


async def test_a_refund_may_be_refused_and_sent_again(wechat: WechatMerchant) -> None:
    await paid(wechat)
    for fate, code in (("not_enough", "NOT_ENOUGH"), ("account", "USER_ACCOUNT_ABNORMAL")):
        await wechat.act(f"refund_{fate}")
        status, answer = await wechat.refund(500)
        assert (status, answer["code"]) == (403, code)
    await wechat.act("refund_success")
    assert (await wechat.refund(500))[0] == 200


async def test_a_lost_answer_has_refunded_once(wechat: WechatMerchant) -> None:
    await paid(wechat)
    await wechat.plant("refund", "lost")
    assert (await wechat.send("POST", REFUNDS, wechat.refund_body(500))).status_code == 502
    assert (await wechat.refund(500))[0] == 200
    assert len((await wechat.state())["refunds"]) == 1


async def test_the_answer_of_one_trades_refund_may_be_lost(wechat: WechatMerchant) -> None:
    await paid(wechat)
    await wechat.act("refund_lost")
    assert (await wechat.send("POST", REFUNDS, wechat.refund_body(500))).status_code == 502
    await until_told(wechat, "REFUND.SUCCESS")
    assert (await wechat.refund(500))[1]["status"] == "SUCCESS"
    assert (await wechat.refund(500, "R2"))[0] == 200, "one answer only"
    assert len((await wechat.state())["refunds"]) == 2


async def test_fields_of_a_refund_are_strict(wechat: WechatMerchant) -> None:
    await paid(wechat)
    transaction_id = (await wechat.state())["transaction_id"]
    spoils: list[tuple[Callable[[dict[str, Any]], object], str]] = [
        (lambda body: body.pop("out_trade_no"), "/transaction_id"),
        (lambda body: body.update(out_refund_no="R 1"), "/out_refund_no"),
        (lambda body: body.update(out_refund_no="R" * 65), "/out_refund_no"),
        (lambda body: body.update(reason="字" * 81), "/reason"),
        (lambda body: body.update(notify_url="http://10.0.0.1/"), "/notify_url"),
        (lambda body: body.update(funds_account="MINE"), "/funds_account"),
        (lambda body: body["amount"].pop("currency"), "/amount/currency"),
        (lambda body: body["amount"].update(refund=0), "/amount/refund"),
        (lambda body: body["amount"].update(total="1999"), "/amount/total"),
        (lambda body: body.update(extra=1), "/extra"),
    ]
    for spoil, field in spoils:
        body = wechat.refund_body(500)
        spoil(body)
        status, answer = await wechat.call("POST", REFUNDS, body)
        assert (status, answer["detail"]["field"]) == (400, field)
    body = wechat.refund_body(500) | {"transaction_id": transaction_id, "out_trade_no": "P000009"}
    assert (await wechat.call("POST", REFUNDS, body))[1]["code"] == "INVALID_REQUEST"
    body = wechat.refund_body(500) | {"transaction_id": transaction_id}
    assert (await wechat.call("POST", REFUNDS, body))[0] == 200


async def test_refunds_end_after_a_restart_too(settings: SandboxSettings, clock: Clock) -> None:
    first = Sandbox(settings, clock_ms=lambda: 1_700_000_000_000)  # a clock that stands: nothing becomes due
    async with first, wechat_merchant_of(first) as merchant:
        await paid(merchant)
        await merchant.refund(500)
        assert await merchant.refund_state() == "PROCESSING"
    second = Sandbox(settings, clock_ms=clock)
    async with second, wechat_merchant_of(second) as merchant:
        async with asyncio.timeout(5):
            while await merchant.refund_state() != "SUCCESS":  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert (await merchant.query())["trade_state"] == "REFUND"
