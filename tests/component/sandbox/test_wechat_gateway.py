"""The gateway of WeChat Pay: orders, queries, closing, and what it refuses."""

from typing import Any

import pytest

from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.wechat_merchant import APP, H5, JSAPI, NATIVE, PUBLIC_KEY_ID, WechatMerchant

MINI = {"appid": "wx0000000000000002", "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}
ON_PHONE = {"scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}}


async def test_each_trade_type_answers_with_its_own_way_to_pay(wechat: WechatMerchant) -> None:
    wanted: list[tuple[str, dict[str, Any], str, str]] = [
        (NATIVE, {}, "code_url", "weixin://wxpay/bizpayurl?pr="),
        (JSAPI, MINI, "prepay_id", "wx"),
        (H5, ON_PHONE, "h5_url", wechat.base + "/h5?prepay_id=wx"),
        (APP, {"appid": "wx0000000000000003"}, "prepay_id", "wx"),
    ]
    for number, (path, more, name, start) in enumerate(wanted):
        status, answer = await wechat.call("POST", path, wechat.order(f"P00000{number}", **more))
        assert (status, list(answer)) == (200, [name])
        assert answer[name].startswith(start)


async def test_an_unpaid_order_is_known_paid_and_then_refunded(wechat: WechatMerchant) -> None:
    await wechat.open()
    assert (await wechat.query())["trade_state"] == "NOTPAY"
    paid = (await wechat.act("pay")).json()
    assert (paid["trade_state"], paid["status"]) == ("SUCCESS", 204)
    answer = await wechat.query()
    assert answer["transaction_id"] == paid["transaction_id"]
    assert (answer["trade_type"], answer["amount"]["payer_total"]) == ("NATIVE", 1999)
    target = f"/v3/pay/transactions/id/{paid['transaction_id']}?mchid=1900000001"
    assert await wechat.call("GET", target) == (200, answer)
    await wechat.refund(500)
    assert (await wechat.query())["trade_state"] == "REFUND"


async def test_what_is_unknown_closed_or_paid_is_named(wechat: WechatMerchant) -> None:
    assert (await wechat.query("P000009"))["code"] == "ORDER_NOT_EXIST"
    status, answer = await wechat.close("P000009")
    assert (status, answer["code"]) == (404, "ORDER_NOT_EXIST")
    await wechat.open()
    assert await wechat.close() == (204, {})
    assert (await wechat.query())["trade_state"] == "CLOSED"
    assert (await wechat.close())[1]["code"] == "ORDER_CLOSED"
    assert (await wechat.call("POST", NATIVE, wechat.order()))[1]["code"] == "ORDER_CLOSED"
    assert (await wechat.act("pay")).status_code == 409
    await wechat.open("P000002")
    await wechat.act("pay", "P000002")
    status, answer = await wechat.close("P000002")
    assert (status, answer["code"]) == (400, "ORDERPAID")
    assert (await wechat.call("POST", NATIVE, wechat.order("P000002")))[1]["code"] == "ORDERPAID"


async def test_the_same_call_again_is_the_same_order_and_another_is_refused(wechat: WechatMerchant) -> None:
    first = await wechat.open()
    assert await wechat.open() == first
    for more, status, code in (
        ({"amount": {"total": 2000, "currency": "CNY"}}, 400, "INVALID_REQUEST"),
        ({"description": "其他"}, 400, "INVALID_REQUEST"),
        ({"appid": "wx0000000000000002"}, 403, "OUT_TRADE_NO_USED"),
    ):
        got, answer = await wechat.call("POST", NATIVE, wechat.order(**more))
        assert (got, answer["code"]) == (status, code), more


async def test_while_the_buyer_types_a_password_the_order_stays_open(wechat: WechatMerchant) -> None:
    await wechat.open()
    await wechat.act("start_paying")
    assert (await wechat.query())["trade_state"] == "USERPAYING"
    status, answer = await wechat.close()
    assert (status, answer["code"]) == (202, "USERPAYING")
    await wechat.act("fail_paying")
    assert (await wechat.query())["trade_state"] == "PAYERROR"
    await wechat.act("pay")
    assert (await wechat.query())["trade_state"] == "SUCCESS"


async def test_time_is_over_for_the_buyer_but_not_for_a_late_payment(
    wechat: WechatMerchant, clock: Clock
) -> None:
    await wechat.open(time_expire="2099-01-01T00:00:00+08:00")
    await wechat.open("P000002")
    clock.ahead_ms += 8 * 86_400_000  # without a limit an order lives for seven days
    assert (await wechat.query())["trade_state"] == "NOTPAY"
    assert (await wechat.query("P000002"))["trade_state"] == "CLOSED"
    assert (await wechat.act("pay", "P000002")).json()["error"] == "ORDER_CLOSED"
    assert (await wechat.act("pay_late", "P000002")).json()["trade_state"] == "SUCCESS"


SPOILT: list[tuple[dict[str, Any], str, str]] = [
    ({"appid": "wx9999999999999999"}, "APPID_MCHID_NOT_MATCH", ""),
    ({"appid": 1}, "PARAM_ERROR", "/appid"),
    ({"mchid": "1900000002"}, "MCH_NOT_EXISTS", ""),
    ({"mchid": None}, "PARAM_ERROR", "/mchid"),
    ({"description": ""}, "PARAM_ERROR", "/description"),
    ({"description": "字" * 128}, "PARAM_ERROR", "/description"),
    ({"description": "四字节🎁"}, "PARAM_ERROR", "/description"),
    ({"out_trade_no": "P0001"}, "PARAM_ERROR", "/out_trade_no"),
    ({"out_trade_no": "P" * 33}, "PARAM_ERROR", "/out_trade_no"),
    ({"out_trade_no": "P 000001"}, "PARAM_ERROR", "/out_trade_no"),
    ({"attach": "a" * 129}, "PARAM_ERROR", "/attach"),
    ({"notify_url": "https://example.com/n"}, "PARAM_ERROR", "/notify_url"),
    ({"notify_url": "http://127.0.0.1:1/n?a=1"}, "PARAM_ERROR", "/notify_url"),
    ({"time_expire": "2026-11-21 08:00:00"}, "PARAM_ERROR", "/time_expire"),
    ({"time_expire": "2020-01-01T00:00:00+08:00"}, "PARAM_ERROR", "/time_expire"),
    ({"amount": {"total": 0}}, "PARAM_ERROR", "/amount/total"),
    ({"amount": {"total": "1999"}}, "PARAM_ERROR", "/amount/total"),
    ({"amount": {"total": 19.99}}, "PARAM_ERROR", "/amount/total"),
    ({"amount": {"total": True}}, "PARAM_ERROR", "/amount/total"),
    ({"amount": {"total": 1, "currency": "HKD"}}, "PARAM_ERROR", "/amount/currency"),
    ({"amount": {"total": 1, "fee": 1}}, "PARAM_ERROR", "/amount/fee"),
    ({"amount": 1999}, "PARAM_ERROR", "/amount"),
    ({"payer": {"openid": "o"}}, "PARAM_ERROR", "/payer"),
    ({"total_fee": 1}, "PARAM_ERROR", "/total_fee"),
    ({"scene_info": {"payer_client_ip": "somewhere"}}, "PARAM_ERROR", "/scene_info/payer_client_ip"),
]


async def test_a_field_outside_its_limits_is_refused_and_named(wechat: WechatMerchant) -> None:
    for more, code, field in SPOILT:
        status, answer = await wechat.call("POST", NATIVE, wechat.order(**more))
        assert (status, answer["code"]) == (400, code), more
        assert answer.get("detail", {}).get("field", "") == field, more
    for path, more, field in (
        (JSAPI, {}, "/payer"),
        (JSAPI, {**MINI, "appid": "wx0000000000000003"}, "/appid"),
        (H5, {}, "/scene_info"),
        (H5, {"scene_info": {"payer_client_ip": "::1"}}, "/scene_info/h5_info"),
        (APP, {}, "/appid"),
    ):
        _, answer = await wechat.call("POST", path, wechat.order(**more))
        assert answer["detail"]["field"] == field, (path, more)
    for raw in (b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 50_000):
        assert (await wechat.call("POST", NATIVE, raw))[1]["code"] == "PARAM_ERROR", raw[:9]
    assert (await wechat.client.get(f"{wechat.base}/sim/P000001")).status_code == 404


async def test_only_the_merchants_own_signature_over_everything_counts(wechat: WechatMerchant) -> None:
    await wechat.open()
    path = "/v3/pay/transactions/out-trade-no/P000001"
    target = f"/wechat{path}?mchid=1900000001"

    async def code(header: str, sent: str = target) -> str:
        headers = {"accept": "application/json", "authorization": header}
        reply = await wechat.client.get(wechat.base.removesuffix("/wechat") + sent, headers=headers)
        assert wechat.genuine(reply.headers, reply.content)
        return "" if reply.status_code == 200 else f"{reply.status_code} {reply.json()['code']}"

    def signed(method: str = "GET", text: str = target, **spoilt: str) -> str:
        return wechat.authorization(method, text, b"", **spoilt)

    assert await code(signed()) == ""
    assert await code(signed(text=f"{path}?mchid=1900000001")) == "", "as for the real host"
    wrong = [
        "",
        "Bearer x",
        signed(method="POST"),
        signed(text=target.partition("?")[0]),
        signed(text=target.replace("P000001", "P000002")),
        signed(signature="AAAA"),
        signed(mchid="1900000002"),
        signed(serial_no="ABCD"),
        signed(timestamp="1"),
        signed(at="1700000000"),
        signed(at="x"),
        signed(nonce_str="other"),
        signed().replace("RSA2048", "RSA1024"),
        signed().replace("nonce_str", "nonce"),
        signed() + ',extra="1"',
    ]
    for header in wrong:
        assert await code(header) == "401 SIGN_ERROR", header[:300]
    once = signed()
    assert [await code(once), await code(once)] == ["", "401 SIGN_ERROR"], "a nonce counts once"
    headers = {"content-type": "text/plain"}
    reply = await wechat.send("POST", NATIVE, wechat.order(), headers=headers)
    assert reply.json()["code"] == "INVALID_REQUEST"


async def test_queries_take_exactly_their_parameters(wechat: WechatMerchant) -> None:
    await wechat.open()
    path = "/v3/pay/transactions/out-trade-no/P000001"
    for query in ("", "?mchid=1", "?mchid=1900000001&x=1"):
        assert (await wechat.call("GET", path + query))[1]["code"] == "PARAM_ERROR", query
    assert (await wechat.call("GET", path + "?mchid=1900000001&mchid=1"))[1]["code"] == "INVALID_REQUEST"


async def test_planted_faults_meet_the_next_calls_only(wechat: WechatMerchant) -> None:
    assert await wechat.plant("pay", "nonsense") == 400
    await wechat.plant("pay", "unknown")
    assert (await wechat.call("POST", NATIVE, wechat.order()))[0] == 500
    await wechat.plant("pay", "busy")
    assert (await wechat.call("POST", NATIVE, wechat.order()))[1]["code"] == "FREQUENCY_LIMITED"
    for fault, status in (("down", 503), ("lost", 502)):
        await wechat.plant("pay", fault)
        assert (await wechat.send("POST", NATIVE, wechat.order(fault + "0001"))).status_code == status
    assert (await wechat.query("down0001"))["code"] == "ORDER_NOT_EXIST"
    assert (await wechat.query("lost0001"))["trade_state"] == "NOTPAY", "it was carried out"


@pytest.mark.parametrize("fault", ["forged", "probe"])
async def test_an_answer_may_be_signed_wrongly_on_purpose(wechat: WechatMerchant, fault: str) -> None:
    await wechat.plant("pay", fault)
    reply = await wechat.send("POST", NATIVE, wechat.order())
    assert reply.status_code == 200
    assert not wechat.genuine(reply.headers, reply.content)
    assert reply.headers["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/") is (fault == "probe")


async def test_answers_are_signed_as_asked_and_certificates_change_with_an_overlap(
    wechat: WechatMerchant,
) -> None:
    async def serial(**headers: str) -> str:
        reply = await wechat.send("GET", "/v3/certificates", headers=headers)
        return str(reply.headers["wechatpay-serial"])

    async def listed() -> list[str]:
        status, answer = await wechat.call("GET", "/v3/certificates")
        if status == 404:
            return []
        assert all(one["encrypt_certificate"]["associated_data"] == "certificate" for one in answer["data"])
        pems = [wechat.decrypted(one["encrypt_certificate"]) for one in answer["data"]]
        assert [wechat.trust(pem) for pem in pems] == [one["serial_no"] for one in answer["data"]]
        return [one["serial_no"] for one in answer["data"]]

    reply = await wechat.send("GET", "/v3/certificates")
    spelled = {name for name, _ in reply.headers.raw if name.lower().startswith((b"wechatpay", b"request"))}
    assert spelled == {
        b"Wechatpay-Timestamp",
        b"Wechatpay-Nonce",
        b"Wechatpay-Signature",
        b"Wechatpay-Signature-Type",
        b"Wechatpay-Serial",
        b"Request-ID",
    }, "its Java library knows no other case"
    (first,) = await listed()
    assert await serial() == first
    assert await serial(**{"wechatpay-serial": PUBLIC_KEY_ID}) == PUBLIC_KEY_ID
    _, answer = await wechat.call("GET", "/v3/certificates", **{"wechatpay-serial": "PUB_KEY_ID_2"})
    assert answer["code"] == "INVALID_REQUEST"
    await wechat.platform(certificates="add")
    old, new = await listed()
    assert (old, await serial()) == (first, first), "listed before it signs"
    await wechat.platform(certificates="switch")
    assert await serial() == new
    assert await listed() == [first, new], "the old one is still listed"
    await wechat.platform(certificates="retire")
    assert await listed() == [new]
    await wechat.platform(certificates="hide")
    assert await listed() == []
