"""The cashier before the simulated providers: each way that its page leads to, up to the paid order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from shop_order.web.html import qr_svg
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")
HTML, JSON = {"accept": "text/html"}, {"accept": "application/json"}
DESK = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
PHONE = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Mobile/15E148"}
INSIDE = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Mobile/15E148 MicroMessenger/8.0.50"}
TABLET = {"user-agent": "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) Mobile/15E148 MicroMessenger/8.0.50"}


@pytest.fixture
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """A shop with the settings of the test's parameter."""
    async with Shop(tmp_path, **getattr(request, "param", {})) as running:
        yield running


async def choose(shop: Shop, link: str, kind: str, device: dict[str, str]) -> str:
    """Where the browser is sent, absolutely."""
    answer = await shop.http.post(link, content=f"payment_type={kind}", headers=HTML | device)
    assert answer.status_code == 303, answer.text
    assert answer.headers["referrer-policy"] == "origin"
    return urljoin(link, answer.headers["location"])


async def shown(shop: Shop, link: str, device: dict[str, str] = DESK) -> Any:
    return (await shop.http.get(link, headers=JSON | device)).json()["data"]


async def attempt_of(shop: Shop, order: Any) -> Any:
    found = await shop.http.get(f"/api/v1/orders/{order['order_sn']}/payment", headers=shop.bearer())
    return found.json()["data"]


async def pay_by(shop: Shop, order: Any, trade_type: str) -> Any:
    """The attempt that the caller opened at Alipay."""
    path, wanted = (
        f"/api/v1/orders/{order['order_sn']}/pay",
        {"payment_type": "alipay", "trade_type": trade_type},
    )
    opened = await shop.http.post(path, json=wanted, headers=shop.bearer())
    return opened.json()["data"]


async def is_paid(shop: Shop, link: str) -> None:
    async def paid() -> bool:
        return bool((await shown(shop, link))["state"] == "paid")

    await shop.until(paid)
    await shop.check_doctor()


async def test_inside_wechat_the_buyer_pays_by_the_bridge(shop: Shop) -> None:
    order = await shop.place()
    link = order["pay_url"]
    page = await choose(shop, link, "wechat", INSIDE)
    assert page.startswith(f"{shop.sandbox_url}/wechat/openid?app_id=wx0000000000000001&")
    back: httpx.Response = await shop.provider.get(page)
    returned = back.headers["location"]
    assert returned.startswith(link)
    assert "data-go>" in (await shop.http.get(returned, headers=HTML | INSIDE)).text
    pays = await choose(shop, returned, "wechat", INSIDE)
    shown_page = (await shop.http.get(pays, headers=HTML | INSIDE)).text
    params = (await shown(shop, pays, INSIDE))["jsapi_params"]
    assert 'id="bridge"' in shown_page
    assert {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"} == params.keys()
    assert await choose(shop, returned, "wechat", INSIDE) == pays
    attempt = await attempt_of(shop, order)
    assert (attempt["trade_type"], attempt["jsapi_params"]) == ("jsapi", params)
    another = (await shop.provider.get(f"{page}&buyer=2")).headers["location"]
    await choose(shop, another, "wechat", INSIDE)
    mine = await attempt_of(shop, order)
    assert mine["payment_sn"] != attempt["payment_sn"], "another buyer does not get these parameters"
    assert (await shop.provider.post(f"/wechat/sim/{mine['payment_sn']}/pay")).status_code == 200
    await is_paid(shop, link)


@pytest.mark.parametrize(
    ("kind", "device", "trade_type"),
    [("wechat", DESK, "native"), ("wechat", PHONE, "h5"), ("alipay", DESK, "page"), ("alipay", PHONE, "wap")],
)
async def test_each_device_gets_the_page_or_code_made_for_it(
    shop: Shop, kind: str, device: dict[str, str], trade_type: str
) -> None:
    order = await shop.place()
    link = order["pay_url"]
    target = await choose(shop, link, kind, device)
    attempt = await attempt_of(shop, order)
    assert attempt["trade_type"] == trade_type
    if trade_type == "native":
        assert target == link
        page = (await shop.http.get(link, headers=HTML | device)).text
        assert qr_svg((await shown(shop, link))["qr_code"]) in page
    else:
        came_from = {"referer": f"{shop.url}/"}
        opened = await shop.provider.get(target, headers=HTML | came_from, follow_redirects=True)
        assert opened.status_code == 200, opened.text
    assert (await shop.provider.post(f"/{kind}/sim/{attempt['payment_sn']}/pay")).status_code == 200
    await is_paid(shop, link)


async def test_a_code_of_alipay_is_shown_scanned_and_paid(shop: Shop) -> None:
    order = await shop.place()
    link = order["pay_url"]
    wanted = {"payment_type": "alipay", "trade_type": "qr"}
    opened = await shop.http.post(
        f"/api/v1/orders/{order['order_sn']}/pay", json=wanted, headers=shop.bearer()
    )
    attempt = opened.json()["data"]
    code = (await shown(shop, link))["qr_code"]
    assert (code, attempt["payment_url"]) == (f"{shop.sandbox_url}/alipay/qr/{attempt['payment_sn']}", code)
    page = (await shop.http.get(link, headers=HTML | DESK)).text
    assert qr_svg(code) in page
    assert "打开支付宝，扫一扫付款" in page
    scanned = await shop.provider.get(code, follow_redirects=True)
    assert "扫码支付" in scanned.text
    assert (await shop.provider.post(f"/alipay/sim/{attempt['payment_sn']}/pay")).status_code == 200
    await is_paid(shop, link)


async def test_an_app_gets_a_text_that_alipay_takes(shop: Shop) -> None:
    order = await shop.place()
    wanted = {"payment_type": "alipay", "trade_type": "app"}
    opened = await shop.http.post(
        f"/api/v1/orders/{order['order_sn']}/pay", json=wanted, headers=shop.bearer()
    )
    attempt = opened.json()["data"]
    text = attempt["jsapi_params"]["orderStr"]
    taken = await shop.provider.get(f"/alipay/gateway.do?{text}", headers=HTML)
    assert (taken.status_code, "App 支付" in taken.text) == (200, True)
    page = (await shop.http.get(order["pay_url"], headers=HTML | DESK)).text
    assert "请在原应用内付款" in page
    assert (await shop.provider.post(f"/alipay/sim/{attempt['payment_sn']}/pay")).status_code == 200
    await is_paid(shop, order["pay_url"])


async def test_the_channel_is_switched_at_the_cashier_and_the_late_payment_comes_back(shop: Shop) -> None:
    order = await shop.place()
    link = order["pay_url"]
    await shop.provider.get(await choose(shop, link, "alipay", DESK))
    first = await attempt_of(shop, order)
    await choose(shop, link, "wechat", DESK)
    second = await attempt_of(shop, order)
    assert (await shop.provider.post(f"/wechat/sim/{second['payment_sn']}/pay")).status_code == 200
    await is_paid(shop, link)
    assert (await shop.provider.post(f"/alipay/sim/{first['payment_sn']}/pay_late")).status_code == 200

    async def is_back() -> bool:
        data = await shown(shop, link)
        return bool((data["state"], data["refunded_fen"]) == ("paid", order["pay_fen"]))

    await shop.until(is_back)
    await shop.check_doctor()


async def test_the_wallets_balance_is_shown_and_pays(shop: Shop) -> None:
    order = await shop.place()
    link = order["pay_url"]
    before_fen = (await shown(shop, link))["balance_fen"]
    assert before_fen >= order["pay_fen"]
    page = (await shop.http.get(link, headers=HTML | DESK)).text
    assert f"可用余额 ¥{before_fen // 100}.{before_fen % 100:02d}" in page
    assert await choose(shop, link, "balance", DESK) == link
    await is_paid(shop, link)
    other = (await shop.place())["pay_url"]
    assert (await shown(shop, other))["balance_fen"] == before_fen - order["pay_fen"]


NO_OFFICIAL = {"PAY__WECHAT__APP_ID_OFFICIAL": ""}
ONLY_APP = NO_OFFICIAL | {"PAY__WECHAT__APP_ID_MINI": "", "PAY__WECHAT__MINI_SECRET_FILE": ""}
ONLY_MINI = NO_OFFICIAL | {"PAY__WECHAT__APP_ID_APP": ""}


@pytest.mark.parametrize("shop", [ONLY_APP, ONLY_MINI], indirect=True, ids=["app", "mini"])
async def test_what_only_an_app_can_pay_is_not_offered_in_a_browser(shop: Shop) -> None:
    link = (await shop.place())["pay_url"]
    for device in (DESK, PHONE, INSIDE, TABLET):
        offers = (await shown(shop, link, device))["channels"]
        assert [one["available"] for one in offers if one["payment_type"] == "wechat"] == [False]
        refused = await shop.http.post(link, content="payment_type=wechat", headers=JSON | device)
        assert (refused.status_code, refused.json()["error"]) == (409, "CHANNEL_UNAVAILABLE")


async def test_inside_wechat_on_a_large_screen_a_code_is_shown_and_alipay_asks_for_a_browser(
    shop: Shop,
) -> None:
    order = await shop.place()
    link = order["pay_url"]
    page = (await shop.http.get(link, headers=HTML | TABLET)).text
    assert "微信内无法打开支付宝" in page
    assert await choose(shop, link, "wechat", TABLET) == link
    assert (await attempt_of(shop, order))["trade_type"] == "native"
    page = (await shop.http.get(link, headers=HTML | TABLET)).text
    assert "请用另一部手机扫描" not in page


async def test_what_a_buyer_can_not_correct_is_no_fault_of_theirs(shop: Shop) -> None:
    order = await shop.place()
    behind = PHONE | {"x-forwarded-for": "203.0.113.9"}  # by a proxy that is not trusted: no address for H5
    refused = await shop.http.post(order["pay_url"], content="payment_type=wechat", headers=HTML | behind)
    assert (refused.status_code, "client_ip" in refused.text) == (409, False)
    # The openid that the shop's page got is another app's.
    query = {"order_sn": order["order_sn"], "return_url": order["pay_url"], "app_id": "wx0000000000000002"}
    wrong = (await shop.provider.get("/wechat/openid", params=query)).headers["location"]
    refused = await shop.http.post(wrong, content="payment_type=wechat", headers=HTML | INSIDE)
    assert (refused.status_code, "微信支付暂不可用" in refused.text) == (409, True)
    assert "openid" not in refused.text, "the way back leads to another openid"
