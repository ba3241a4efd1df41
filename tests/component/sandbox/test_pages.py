"""The sandbox in a browser: its language, a phone, and no link or button that leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

import httpx
import pytest
from starlette.requests import Request

from shop_sandbox.page import Language, language_of
from shop_sandbox.server import Sandbox
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import Merchant

BROWSER = {"accept": "text/html,application/xhtml+xml;q=0.9", "accept-language": "en-US,en;q=0.9,zh;q=0.1"}
BUTTON = re.compile(r'action="/alipay/cashier/\w+/(\w+)"')
BUTTONS = ("pay", "pay_late", "pay_twice", "notify_again", "forge_amount", "forge_sign", "steal")
State = Callable[[Merchant, Clock, str], Awaitable[object]]


async def fresh(merchant: Merchant, clock: Clock, trade: str) -> None:
    """The buyer only looks."""


async def scanned(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.act("scan", trade)


async def paid(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.act("pay", trade)


async def silent(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.act("pay", trade, query="?notice=0")


async def forged(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.act("forge_sign", trade)


async def waiting(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.client.post(f"{merchant.base}/cashier/{trade}/pay_late")


async def expired(merchant: Merchant, clock: Clock, trade: str) -> None:
    clock.ahead_ms += 300_000


async def closed(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.act("scan", trade)
    await merchant.call("alipay.trade.close", out_trade_no=trade)


async def refunded(merchant: Merchant, clock: Clock, trade: str) -> None:
    await merchant.act("pay", trade)
    await merchant.call("alipay.trade.refund", out_trade_no=trade, refund_amount="19.99", out_request_no="R1")


PAID = (paid, silent, refunded)
STATES = (fresh, scanned, forged, waiting, expired, closed, *PAID)


async def seen(merchant: Merchant, path: str, method: str = "GET") -> httpx.Response:
    """What a browser ends up with; it follows redirects, but not to the merchant's own pages."""
    url = urljoin(merchant.base, path)
    answer = await merchant.client.request(method, url, headers=BROWSER)
    while answer.is_redirect and answer.headers["location"].startswith("/"):
        answer = await merchant.client.get(urljoin(url, answer.headers["location"]), headers=BROWSER)
    return answer


def is_page(answer: httpx.Response, status: int = 200) -> bool:
    """A page of ours with a way on."""
    assert answer.status_code == status, (answer.url, answer.text[:300])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<html lang="en">' in answer.text
    assert "width=device-width" in answer.text
    assert "default-src 'none'; style-src 'sha256-" in answer.headers["content-security-policy"]
    return 'href="/alipay/sim"' in answer.text


@pytest.mark.parametrize("state", STATES)
async def test_a_button_that_is_offered_works_and_another_leads_back(
    merchant: Merchant, clock: Clock, state: State
) -> None:
    for number, action in enumerate(BUTTONS):
        trade = f"P{number}"
        await merchant.open(trade, timeout_express="5m", passback_params=f"{number}" * 27)
        await state(merchant, clock, trade)
        offered = BUTTON.findall((await seen(merchant, f"/alipay/cashier/{trade}")).text)
        assert ("notify_again" in offered) == (state in PAID)
        answer = await seen(merchant, f"/alipay/cashier/{trade}/{action}", "POST")
        if answer.headers.get("location", "").startswith("http://127.0.0.1:1/back"):
            assert action in offered
        elif action in offered or (action, state) == ("pay_late", waiting):
            assert is_page(answer), "asking again to wait changes nothing"
        else:
            assert is_page(answer, 409)
            assert BUTTON.findall(answer.text)
        assert is_page(await seen(merchant, f"/alipay/cashier/{trade}/{action}")), "who reloads it"


async def test_without_a_notify_address_nothing_is_offered_that_needs_one(merchant: Merchant) -> None:
    merchant.notify_url = ""
    await merchant.open()
    offered = BUTTON.findall((await seen(merchant, "/alipay/cashier/P1")).text)
    assert offered == ["pay", "pay_late"]


async def test_every_link_leads_to_a_page(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("forge_amount")
    found, todo = set(), {"/"}
    while todo:
        path = todo.pop()
        found.add(path)
        answer = await seen(merchant, path)
        assert is_page(answer), path
        todo |= {*re.findall(r'<a [^>]*href="(/[^"]*)"', answer.text)} - found
        for picture in re.findall(r'src="([^"]+)"', answer.text):
            assert (await seen(merchant, picture)).status_code == 200
    assert found == {"/", "/shop", "/alipay/sim", "/alipay/cashier/P1", "/wechat/sim", "/wechat/browser"}


async def test_the_list_of_trades_says_in_words_that_there_are_none(merchant: Merchant) -> None:
    assert "There are no trades yet" in (await seen(merchant, "/alipay/sim")).text
    assert (await merchant.client.get(f"{merchant.base}/sim")).json() == []
    await merchant.open()
    assert 'href="/alipay/cashier/P1"' in (await seen(merchant, "/alipay/sim")).text
    (listed,) = (await merchant.client.get(f"{merchant.base}/sim")).json()
    assert listed.keys() == {"out_trade_no", "order_ref", "amount_fen"}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/alipay/cashier/P9", "GET", 404),
        ("/alipay/cashier/P9/pay", "POST", 404),
        ("/alipay/sim/P9", "GET", 404),
        ("/admin/goods/999999", "GET", 404),
        ("/shop", "POST", 405),
    ],
)
async def test_what_is_not_there_is_a_page_for_browsers_and_a_line_for_programs(
    merchant: Merchant, path: str, method: str, status: int
) -> None:
    assert is_page(await seen(merchant, path, method), status)
    plain = await merchant.client.request(method, urljoin(merchant.base, path))
    assert plain.status_code == status
    if "/cashier/" not in path:
        assert plain.headers["content-type"].startswith("text/plain")


async def test_a_payment_call_that_is_refused_has_a_way_on(merchant: Merchant) -> None:
    wrong = merchant.pay_parameters() | {"sign": "x"}
    answer = await merchant.client.get(f"{merchant.base}/gateway.do", params=wrong, headers=BROWSER)
    assert is_page(answer, 400)
    assert answer.headers["x-alipay-sub-code"] == "isv.invalid-signature"


async def test_the_root_says_what_is_where(sandbox: Sandbox, merchant: Merchant) -> None:
    chinese = await merchant.client.get(urljoin(merchant.base, "/"))
    assert '<html lang="zh-CN">' in chinese.text
    assert f"127.0.0.1:{sandbox.grpc_port}" in chinese.text
    head = await merchant.client.head(urljoin(merchant.base, "/"))
    assert (head.status_code, head.content) == (200, b"")


def test_a_page_speaks_the_readers_language() -> None:
    for accept, language in (
        ("", Language.ZH),
        ("en", Language.EN),
        ("fr, en-GB;q=0.5", Language.EN),
        ("zh-TW,en;q=0.1", Language.ZH),
        ("en;q=0.1,zh-CN", Language.ZH),
        ("english", Language.ZH),
    ):
        request = Request({"type": "http", "headers": [(b"accept-language", accept.encode())]})
        assert language_of(request) is language, accept
