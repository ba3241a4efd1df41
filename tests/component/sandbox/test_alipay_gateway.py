"""The gateway refuses what the provider refuses, and signs what it says."""

import base64
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from shop_sandbox.alipay import signing
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import Merchant

QUERY, CLOSE = "alipay.trade.query", "alipay.trade.close"
REFUND, REFUND_QUERY = "alipay.trade.refund", "alipay.trade.fastpay.refund.query"


SPOILT = [
    ({"sign": "AAAA"}, "isv.invalid-signature"),
    ({"biz_content": '{"out_trade_no":"P2"}'}, "isv.invalid-signature"),
    ({"extra": "1"}, "isv.invalid-signature"),
    ({"sign": ""}, "isv.missing-signature"),
    ({"sign_type": "RSA"}, "isv.invalid-signature-type"),
    ({"app_id": "2021000000000002"}, "isv.invalid-app-id"),
    ({"charset": "latin1"}, "isv.invalid-charset"),
    ({"method": "alipay.trade.steal"}, "isv.invalid-method"),
    ({"method": ""}, "isv.missing-method"),
]
SIGNED_AND_WRONG = [
    ({"timestamp": "2026-11-21T08:00:00"}, "isv.invalid-timestamp"),
    ({"version": "2.0"}, "isv.invalid-version"),
    ({"format": "XML"}, "isv.invalid-format"),
    ({"biz_content": "[]"}, "isv.invalid-parameter"),
]


async def test_a_spoilt_call_is_refused(merchant: Merchant) -> None:
    for spoilt, sub_code in SPOILT:
        parameters = {**merchant.parameters(QUERY, {"out_trade_no": "P1"}), **spoilt}
        reply = await merchant.client.post(f"{merchant.base}/gateway.do", data=parameters)
        assert merchant.verified(reply)["sub_code"] == sub_code, spoilt


async def test_a_signed_call_may_still_be_wrong(merchant: Merchant) -> None:
    for wrong, sub_code in SIGNED_AND_WRONG:
        parameters = merchant.parameters(QUERY, {"out_trade_no": "P1"}, **wrong)
        reply = await merchant.client.get(f"{merchant.base}/gateway.do", params=parameters)
        assert merchant.verified(reply)["sub_code"] == sub_code, wrong


async def test_a_sha1_signature_and_a_doubled_parameter_are_refused(merchant: Merchant) -> None:
    parameters = merchant.parameters(QUERY, {"out_trade_no": "P1"})
    text = signing.request_text(parameters).encode()
    weak = base64.b64encode(merchant.private.sign(text, padding.PKCS1v15(), hashes.SHA1())).decode()
    url = f"{merchant.base}/gateway.do"
    reply = await merchant.client.post(url, data={**parameters, "sign": weak})
    assert merchant.verified(reply)["sub_code"] == "isv.invalid-signature"
    reply = await merchant.client.post(url, params={"app_id": parameters["app_id"]}, data=parameters)
    assert merchant.verified(reply)["sub_code"] == "isv.invalid-parameter"


async def test_a_forged_payment_page_shows_no_cashier(merchant: Merchant) -> None:
    parameters = {**merchant.pay_parameters(), "notify_url": "http://127.0.0.1:1/other"}
    reply = await merchant.client.get(f"{merchant.base}/gateway.do", params=parameters)
    assert (reply.status_code, reply.headers["x-alipay-sub-code"]) == (400, "isv.invalid-signature")
    assert (await merchant.client.get(f"{merchant.base}/sim/P1")).status_code == 404


async def test_a_trade_begins_when_the_buyer_acts(merchant: Merchant) -> None:
    assert (await merchant.open()).status_code == 200
    for method in (QUERY, CLOSE):
        node = await merchant.call(method, out_trade_no="P1")
        assert (node["code"], node["sub_code"]) == ("40004", "ACQ.TRADE_NOT_EXIST")
    await merchant.act("pay")
    node = await merchant.call(QUERY, out_trade_no="P1")
    assert (node["code"], node["trade_status"], node["total_amount"]) == ("10000", "TRADE_SUCCESS", "19.99")
    assert (await merchant.call(QUERY, trade_no=node["trade_no"]))["out_trade_no"] == "P1"


async def test_an_unpaid_trade_can_be_closed_and_a_paid_one_cannot(merchant: Merchant) -> None:
    await merchant.open("P1")
    await merchant.act("scan")
    assert (await merchant.call(QUERY, out_trade_no="P1"))["trade_status"] == "WAIT_BUYER_PAY"
    for _ in range(2):
        assert (await merchant.call(CLOSE, out_trade_no="P1"))["code"] == "10000"
    assert (await merchant.call(QUERY, out_trade_no="P1"))["trade_status"] == "TRADE_CLOSED"
    assert (await merchant.act("pay")).status_code == 409
    await merchant.open("P2")
    await merchant.act("pay", "P2")
    assert (await merchant.call(CLOSE, out_trade_no="P2"))["sub_code"] == "ACQ.REASON_TRADE_STATUS_INVALID"


async def test_the_amount_of_an_attempt_never_changes(merchant: Merchant) -> None:
    await merchant.open("P1")
    reply = await merchant.open("P1", total_amount="20.00")
    assert (reply.status_code, reply.headers["x-alipay-sub-code"]) == (400, "ACQ.CONTEXT_INCONSISTENT")
    assert (await merchant.open("P1")).status_code == 200, "opening the page again is no change"


async def test_time_is_over_for_the_buyer_but_not_for_a_late_payment(
    merchant: Merchant, clock: Clock
) -> None:
    await merchant.open("P1", timeout_express="5m")
    await merchant.open("P2", timeout_express="5m")
    await merchant.act("scan", "P2")
    clock.ahead_ms += 300_000
    assert (await merchant.act("pay")).json()["error"] == "ACQ.TRADE_HAS_CLOSE"
    assert (await merchant.call(QUERY, out_trade_no="P2"))["trade_status"] == "TRADE_CLOSED"
    reply = await merchant.act("pay_late")
    assert (reply.json()["trade_status"], reply.json()["body"]) == ("TRADE_SUCCESS", "success")


async def refund(merchant: Merchant, amount: str, number: str = "R1", **more: Any) -> dict[str, object]:
    return await merchant.call(REFUND, out_trade_no="P1", refund_amount=amount, out_request_no=number, **more)


async def test_a_refund_number_moves_money_once(merchant: Merchant) -> None:
    await merchant.open()
    assert (await refund(merchant, "5.00"))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    await merchant.act("pay")
    first = await refund(merchant, "5.00")
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "5.00")
    again = await refund(merchant, "5.00")
    assert (again["code"], again["fund_change"], again["refund_fee"]) == ("10000", "N", "5.00")
    assert (await refund(merchant, "6.00"))["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert (await refund(merchant, "5"))["sub_code"] == "ACQ.INVALID_PARAMETER"


async def test_never_more_goes_back_than_was_paid(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay")
    await refund(merchant, "10.00")
    assert (await refund(merchant, "10.00", "R2"))["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    assert (await refund(merchant, "9.99", "R3"))["refund_fee"] == "19.99"
    assert (await merchant.call(QUERY, out_trade_no="P1"))["trade_status"] == "TRADE_CLOSED"
    assert (await refund(merchant, "0.01", "R4"))["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"


async def test_a_refund_can_be_asked_about(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay")
    unknown = await merchant.call(REFUND_QUERY, out_trade_no="P1", out_request_no="R1")
    assert unknown == {"code": "10000", "msg": "Success"}
    await refund(merchant, "5.00")
    node = await merchant.call(REFUND_QUERY, out_trade_no="P1", out_request_no="R1")
    assert (node["refund_status"], node["refund_amount"]) == ("REFUND_SUCCESS", "5.00")


async def test_planted_faults_meet_the_next_calls_only(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay")

    async def plant(fault: str) -> httpx.Response:
        wanted = {"method": REFUND, "fault": fault, "times": 1}
        return await merchant.client.post(f"{merchant.base}/sim/faults", json=wanted)

    assert (await plant("nonsense")).status_code == 400
    await plant("unknown")
    assert (await refund(merchant, "5.00"))["code"] == "20000"
    await plant("lost")
    lost = merchant.parameters(
        REFUND, {"out_trade_no": "P1", "refund_amount": "5.00", "out_request_no": "R1"}
    )
    assert (await merchant.client.post(f"{merchant.base}/gateway.do", data=lost)).status_code == 502
    assert (await refund(merchant, "5.00"))["fund_change"] == "N", "the lost call had done it"
