"""The mini program's API: stable tokens, and the shipping without which the merchant gets no money."""

from typing import Any

import httpx

from shop_sandbox.server import Sandbox
from tests.component.sandbox.wechat_merchant import JSAPI, WechatMerchant
from tests.shop import wechat_pay

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
MINI = "wx0000000000000002"


async def token(wechat: WechatMerchant, **more: Any) -> dict[str, Any]:
    wanted = {"grant_type": "client_credential", "appid": MINI, "secret": wechat.mini_secret, **more}
    reply = await wechat.client.post(f"{wechat.base}/cgi-bin/stable_token", json=wanted)
    assert reply.status_code == 200
    return dict(reply.json())


async def upload(wechat: WechatMerchant, access_token: str, body: Any) -> int:
    path = f"{wechat.base}/wxa/sec/order/upload_shipping_info?access_token={access_token}"
    reply: httpx.Response = await wechat.client.post(path, json=body)
    assert reply.status_code == 200
    return int(reply.json()["errcode"])


def shipping(transaction_id: str, **more: Any) -> dict[str, Any]:
    return {
        "order_key": {"order_number_type": 2, "transaction_id": transaction_id},
        "logistics_type": 1,
        "delivery_mode": 1,
        "shipping_list": [{"tracking_no": "YT1", "express_company": "YTO", "item_desc": "一件好货*1"}],
        "upload_time": "2026-11-21T13:29:35.120+08:00",
        "payer": {"openid": OPENID},
        **more,
    }


async def paid(wechat: WechatMerchant, out_trade_no: str = "P000001") -> str:
    order = wechat.order(out_trade_no, appid=MINI, payer={"openid": OPENID})
    await wechat.call("POST", JSAPI, order)
    return str((await wechat.act("pay", out_trade_no, "?notice=0")).json()["transaction_id"])


async def test_a_token_stays_the_same_until_it_is_forced(wechat: WechatMerchant) -> None:
    first = await token(wechat)
    assert 300 < first["expires_in"] <= 7200
    assert (await token(wechat))["access_token"] == first["access_token"]
    forced = await token(wechat, force_refresh=True)
    assert forced["access_token"] == first["access_token"], "not twice within 30 s"
    for wrong, code in (
        ({"grant_type": "x"}, 40002),
        ({"appid": "wx0000000000000001"}, 40013),
        ({"secret": "x"}, 40125),
        ({"force_refresh": "yes"}, 47001),
    ):
        assert (await token(wechat, **wrong))["errcode"] == code


async def test_shipping_is_stored_seen_and_changed_once(wechat: WechatMerchant) -> None:
    number = await paid(wechat)
    page = f"{wechat.base}/cashier/P000001"
    assert "款项冻结" in (await wechat.client.get(page)).text
    access = (await token(wechat))["access_token"]
    await wechat.plant("upload_shipping_info", "late")
    assert await upload(wechat, access, shipping(number)) == 10060001, "as just after a payment"
    assert await upload(wechat, access, shipping(number)) == 0
    assert "YT1" in (await wechat.client.get(page)).text
    assert (await wechat.state())["shipping"]["uploads"] == 1
    assert await upload(wechat, access, shipping(number)) == 10060023, "nothing new"
    other = [{"tracking_no": "YT2", "express_company": "YTO", "item_desc": "一件好货*1"}]
    assert await upload(wechat, access, shipping(number, shipping_list=other)) == 0
    assert await upload(wechat, access, shipping(number)) == 10060003, "one change only"


async def test_parcels_may_be_split(wechat: WechatMerchant) -> None:
    number, access = await paid(wechat), (await token(wechat))["access_token"]
    split = {"delivery_mode": 2, "is_all_delivered": False}
    assert await upload(wechat, access, shipping(number, delivery_mode=2)) == 10060007
    assert await upload(wechat, access, shipping(number, **split)) == 0
    assert (await wechat.state())["shipping"]["finished"] is False
    assert await upload(wechat, access, shipping(number, **{**split, "is_all_delivered": True})) == 0
    assert (await wechat.state())["shipping"]["finished"] is True


async def test_each_field_of_shipping_is_checked(wechat: WechatMerchant) -> None:
    number, access = await paid(wechat), (await token(wechat))["access_token"]
    parcel = shipping(number)["shipping_list"][0]

    def with_parcel(**more: Any) -> dict[str, Any]:
        return {"shipping_list": [{**parcel, **more}]}

    wrong: list[tuple[dict[str, Any], int]] = [
        ({"order_key": {"order_number_type": 3}}, 268485194),
        ({"order_key": {"order_number_type": 2}}, 268485195),
        ({"order_key": {"order_number_type": 1, "out_trade_no": "P000001"}}, 268485196),
        ({"order_key": {"order_number_type": 1, "mchid": "1900000001"}}, 268485197),
        ({"order_key": {"order_number_type": 2, "transaction_id": "4200"}}, 10060001),
        ({"logistics_type": 5}, 10060005),
        ({"logistics_type": True}, 10060005),
        ({"delivery_mode": 3}, 268485224),
        ({"delivery_mode": 2, "logistics_type": 4, "is_all_delivered": True}, 10060006),
        ({"shipping_list": []}, 10060014),
        ({"shipping_list": [parcel, parcel]}, 10060014),
        ({"delivery_mode": 2, "is_all_delivered": True, "shipping_list": [parcel] * 16}, 10060024),
        (with_parcel(item_desc=""), 10060008),
        (with_parcel(item_desc="字" * 121), 10060009),
        (with_parcel(tracking_no=""), 10060014),
        (with_parcel(express_company="顺丰"), 10060025),
        (with_parcel(tracking_no="1" * 129), 10060026),
        (with_parcel(express_company="SF"), 10060014),
        (with_parcel(weight=1), 47001),
        ({"upload_time": "2026-11-21 13:29:35"}, 268485216),
        ({"payer": {"openid": "oSomebodyElse"}}, 10060031),
        ({"payer": {}}, 47001),
        ({"more": 1}, 47001),
    ]
    for more, code in wrong:
        assert await upload(wechat, access, shipping(number, **more)) == code, more
    assert await upload(wechat, access, []) == 47001
    assert await upload(wechat, "", shipping(number)) == 41001
    assert await upload(wechat, "x", shipping(number)) == 40001
    assert (await wechat.state())["shipping"] is None
    contact = {"receiver_contact": "138****0000"}
    good = with_parcel(express_company="SF", contact=contact)
    key = {"order_number_type": 1, "mchid": "1900000001", "out_trade_no": "P000001"}
    assert await upload(wechat, access, shipping(number, order_key=key, **good)) == 0


async def test_only_paid_orders_of_the_mini_program_are_shipped(wechat: WechatMerchant) -> None:
    access = (await token(wechat))["access_token"]
    await wechat.open()
    other = (await wechat.act("pay", query="?notice=0")).json()["transaction_id"]
    assert await upload(wechat, access, shipping(other)) == 10060001
    number = await paid(wechat, "P000002")
    await wechat.refund(1999, "R1", "P000002")
    assert await upload(wechat, access, shipping(number)) == 10060004


async def test_an_expired_token_is_told_apart(wechat: WechatMerchant, sandbox: Sandbox) -> None:
    access, number = (await token(wechat))["access_token"], await paid(wechat)
    age = "UPDATE mini_token SET until_s = 1"
    await wechat_pay(sandbox).database.run(lambda one: one.execute(age).rowcount)
    assert await upload(wechat, access, shipping(number)) == 42001
    assert (await token(wechat))["access_token"] != access
