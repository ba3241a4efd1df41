"""What a buyer's device does: QR codes, H5 links, WeChat's bridge and browser, apps, and openids."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from shop_sandbox.http_server import HttpServer, listen
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.wechat_merchant import APP, H5, JSAPI, ORDER_SN, WechatMerchant

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
ON_PHONE: dict[str, Any] = {"scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}}


async def prepared(wechat: WechatMerchant, path: str = JSAPI, **more: Any) -> str:
    _, answer = await wechat.call("POST", path, wechat.order(**more))
    return str(answer["prepay_id"])


def bridge_call(wechat: WechatMerchant, prepay_id: str, app_id: str = "wx0000000000000001") -> dict[str, Any]:
    call = {
        "appId": app_id,
        "timeStamp": str(int(time.time())),
        "nonceStr": secrets.token_hex(16),
        "package": f"prepay_id={prepay_id}",
        "signType": "RSA",
    }
    text = "".join(f"{call[name]}\n" for name in ("appId", "timeStamp", "nonceStr", "package"))
    return {**call, "paySign": wechat.sign(text.encode())}


async def test_the_bridge_pays_for_a_genuine_call_and_the_buyer_is_the_one_named(
    wechat: WechatMerchant,
) -> None:
    call = bridge_call(wechat, await prepared(wechat, payer={"openid": OPENID}))
    asked = (await wechat.client.post(f"{wechat.base}/jsapi", json=call)).json()
    assert asked == {"out_trade_no": "P000001", "description": "商城订单", "amount": "19.99"}
    paid = await wechat.client.post(f"{wechat.base}/jsapi/pay", json=call)
    assert paid.json() == {"err_msg": "get_brand_wcpay_request:ok"}
    assert wechat.told[0].resource["payer"] == {"openid": OPENID}
    again = await wechat.client.post(f"{wechat.base}/jsapi/pay", json=call)
    assert (again.status_code, again.json()["code"]) == (400, "ORDERPAID")


async def test_a_call_of_the_bridge_that_is_not_genuine_fails(wechat: WechatMerchant, clock: Clock) -> None:
    prepay_id = await prepared(wechat, payer={"openid": OPENID})
    app_prepay_id = await prepared(wechat, APP, out_trade_no="P000002", appid="wx0000000000000003")
    genuine = bridge_call(wechat, prepay_id)
    wrong = [
        {**genuine, "paySign": "AAAA"},
        {**genuine, "nonceStr": "other"},
        {**genuine, "package": "prepay_id=wx1"},
        {**genuine, "signType": "MD5"},
        {**genuine, "timeStamp": int(genuine["timeStamp"])},
        {**genuine, "more": "1"},
        {name: value for name, value in genuine.items() if name != "appId"},
        bridge_call(wechat, prepay_id, "wx0000000000000002"),
        bridge_call(wechat, app_prepay_id),
        bridge_call(wechat, "wx1"),
    ]
    for call in wrong:
        for path in ("jsapi", "jsapi/pay"):
            reply = await wechat.client.post(f"{wechat.base}/{path}", json=call)
            assert (reply.status_code, reply.json()["err_msg"]) == (400, "get_brand_wcpay_request:fail"), call
    clock.ahead_ms += 2 * 3_600_000
    reply = await wechat.client.post(f"{wechat.base}/jsapi/pay", json=genuine)
    assert "失效" in reply.json()["err_desc"]
    assert (await wechat.query())["trade_state"] == "NOTPAY"


async def test_an_app_pays_with_its_own_signature(wechat: WechatMerchant) -> None:
    prepay_id = await prepared(wechat, APP, appid="wx0000000000000003")
    call = {"appid": "wx0000000000000003", "timestamp": "1700000000", "noncestr": "n", "prepayid": prepay_id}
    text = "".join(f"{value}\n" for value in call.values())
    sign = wechat.sign(text.encode())
    call |= {"partnerid": "1900000001", "package": "Sign=WXPay", "sign": sign}
    for spoilt in ({"sign": "x"}, {"partnerid": "1"}, {"package": "x"}):
        assert (await wechat.client.post(f"{wechat.base}/app/pay", json=call | spoilt)).status_code == 400
    assert (await wechat.client.post(f"{wechat.base}/app/pay", json=call)).status_code == 200
    assert (await wechat.query())["trade_type"] == "APP"


async def test_a_scanned_code_leads_to_the_trade_for_two_hours(wechat: WechatMerchant, clock: Clock) -> None:
    code_url = (await wechat.open())["code_url"]
    scanned = await wechat.client.get(f"{wechat.base}/scan", params={"code_url": code_url})
    assert (scanned.status_code, scanned.headers["location"]) == (303, "/wechat/cashier/P000001")
    page = await wechat.client.get(f"{wechat.base}/cashier/P000001")
    assert "¥19.99" in page.text
    assert code_url in page.text
    pressed = await wechat.client.post(f"{wechat.base}/cashier/P000001/pay")
    assert (pressed.status_code, pressed.headers["location"]) == (303, "/wechat/cashier/P000001")
    assert len(wechat.told) == 1
    assert "付款成功" in (await wechat.client.get(f"{wechat.base}/cashier/P000001")).text
    again = await wechat.client.post(f"{wechat.base}/cashier/P000001/pay")
    assert (again.status_code, "ORDERPAID" in again.text) == (409, True)
    assert (await wechat.client.get(f"{wechat.base}/scan?code_url=weixin://x")).status_code == 404
    code_url = (await wechat.open("P000002"))["code_url"]
    clock.ahead_ms += 2 * 3_600_000
    expired = await wechat.client.get(f"{wechat.base}/scan", params={"code_url": code_url})
    assert expired.status_code == 400
    assert (await wechat.open("P000002"))["code_url"] != code_url


async def test_an_h5_link_works_from_the_merchants_page_only_and_for_five_minutes(
    wechat: WechatMerchant, clock: Clock
) -> None:
    _, answer = await wechat.call("POST", H5, wechat.order(**ON_PHONE))
    link, site = answer["h5_url"], wechat.notify_url.removesuffix("notify")

    async def code(url: str, referer: str = site) -> str:
        headers = {"referer": referer} if referer else {}
        reply = await wechat.client.get(url, headers=headers)
        return "" if reply.status_code == 303 else str(reply.headers["x-wechat-code"])

    assert await code(link, "") == "REFERER_MISSING"
    assert await code(link, "https://example.com/") == "REFERER_OTHER"
    assert await code(link, f"{wechat.base}/") == "REFERER_OTHER"
    assert await code(f"{link}&redirect_url=https%3A%2F%2Fexample.com%2F") == "REFERER_OTHER"
    assert await code(link.replace("package=", "package=0")) == "PARAM_ERROR"
    assert await code(link) == ""
    assert await code(f"{link}&redirect_url={site.replace(':', '%3A').replace('/', '%2F')}back") == ""
    pressed = await wechat.client.post(f"{wechat.base}/cashier/P000001/pay")
    assert pressed.headers["location"] == f"{site}back"
    clock.ahead_ms += 5 * 60_000
    assert await code(link) == "H5_EXPIRED"


async def test_who_pays_late_waits_and_pays_after_the_shop_closed_it(
    wechat: WechatMerchant, clock: Clock
) -> None:
    await wechat.open()
    await wechat.client.post(f"{wechat.base}/cashier/P000001/pay_late")
    page = await wechat.client.get(f"{wechat.base}/cashier/P000001")
    assert "买家正在等待" in page.text
    await wechat.close()
    clock.ahead_ms += 10_000
    async with asyncio.timeout(20):
        while not wechat.told:  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0.01)
    assert (await wechat.query())["trade_state"] == "SUCCESS"


async def test_an_openid_comes_signed_back_to_the_cashier(wechat: WechatMerchant) -> None:
    key = "ab" * 32
    cashier = f"http://127.0.0.1:1/api/v1/cashier/{ORDER_SN}?e=1&s=x%2B&openid=forged"

    async def sent_back(**more: str) -> tuple[int, dict[str, str]]:
        wanted = {"order_sn": ORDER_SN, "return_url": cashier, **more}
        reply = await wechat.client.get(f"{wechat.base}/openid", params=wanted)
        return reply.status_code, dict(parse_qsl(urlsplit(reply.headers.get("location", "")).query))

    (wechat.keys_dir / "link.key").write_text(f"{key}\n")
    status, found = await sent_back()
    text = f"openid={found['openid']}&order_sn={ORDER_SN}&expires={found['openid_expires']}"
    assert found["openid_sign"] == hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert (status, found["e"], found["s"]) == (303, "1", "x+")
    assert 0 < int(found["openid_expires"]) - time.time() <= 600
    assert (await sent_back())[1]["openid"] == found["openid"], "the same buyer"
    assert (await sent_back(buyer="2"))[1]["openid"] != found["openid"]
    assert (await sent_back(app_id="wx0000000000000002"))[1]["openid"] != found["openid"]
    other: dict[str, Any] = {"payer": {"openid": found["openid"]}, "appid": "wx0000000000000002"}
    _, answer = await wechat.call("POST", JSAPI, wechat.order(**other))
    assert answer["detail"]["field"] == "/payer/openid", "it belongs to another app"
    assert await prepared(wechat, payer={"openid": found["openid"]})
    for wrong in (
        {"order_sn": "1"},
        {"return_url": "https://example.com/"},
        {"return_url": "javascript:alert(1)"},
        {"app_id": "wx9"},
    ):
        assert (await sent_back(**wrong))[0] == 400, wrong


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A page with links, as a cashier has them; it shows what the browser sent."""

    async def page(request: Request) -> Response:
        seen = json.dumps({"agent": request.headers["user-agent"], "query": request.url.query})
        return HTMLResponse(
            f'<html><head></head><body><a href="/next">x</a><a href="http://127.0.0.1:1/other">y</a>'
            f'<a href="https://example.com/">z</a><form action="/post"></form>{seen}</body></html>'
        )

    async def posted(request: Request) -> Response:
        return RedirectResponse(f"/page?got={(await request.body()).decode()}", 303)

    routes = [
        Route("/page", page),
        Route("/post", posted, methods=["POST"]),
        Route("/json", lambda request: JSONResponse({"href": '"/x"'})),
    ]
    listener = listen("127.0.0.1", 0)
    server = HttpServer(Starlette(routes=routes), listener)
    await server.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    await server.stop()


async def test_wechats_browser_shows_a_page_and_stays_inside(wechat: WechatMerchant, site: str) -> None:
    opened = await wechat.client.get(f"{wechat.base}/browser", params={"url": f"http://{site}/page?a=%2F1"})
    start = f"/wechat/browser/{site}"
    assert opened.headers["location"] == f"{start}/page?a=%2F1"
    root = wechat.base.removesuffix("/wechat")
    page = (await wechat.client.get(root + opened.headers["location"])).text
    assert "MicroMessenger" in page
    assert "a=%2F1" in page
    assert '<script src="/wechat/bridge.js"></script></head>' in page
    assert f'href="{start}/next"' in page
    assert 'href="/wechat/browser/127.0.0.1:1/other"' in page
    assert 'href="https://example.com/"' in page
    assert f'action="{start}/post"' in page
    posted = await wechat.client.post(f"{root}{start}/post", content=b"b")
    assert posted.headers["location"] == f"{start}/page?got=b"
    assert (await wechat.client.get(f"{root}{start}/json")).json() == {"href": '"/x"'}
    assert "getBrandWCPayRequest" in (await wechat.client.get(f"{wechat.base}/bridge.js")).text
    for outside in ("https://example.com/", "file:///etc/passwd", "http://10.0.0.1/"):
        reply = await wechat.client.get(f"{wechat.base}/browser", params={"url": outside})
        assert reply.status_code == 400, outside
    assert (await wechat.client.get(f"{wechat.base}/browser/example.com/")).status_code == 400
    assert (await wechat.client.get(f"{wechat.base}/browser/127.0.0.1:1/")).status_code == 502
