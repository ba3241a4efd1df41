"""The cashier: whoever has the link sees the order and may pay it."""

from __future__ import annotations

import asyncio
import re
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from shop_order.service.pay import MAX_ATTEMPTS
from shop_order.web.auth.limits import Rates
from shop_order.web.dto.responses import CashierData
from tests.component.rest.front import PLACE, PUBLIC_URL, Rest, refused
from tests.world.shop import World

HTML = {"accept": "text/html,application/xhtml+xml;q=0.9"}
JSON = {"accept": "application/json"}
ALIPAY = {"payment_type": "alipay"}


def path(order: Any) -> str:
    """The link's path below /api/v1."""
    url: str = order["pay_url"]
    return url.removeprefix(f"{PUBLIC_URL}/api/v1")


async def open_page(rest: Rest, link: str, **headers: str) -> httpx.Response:
    return await rest.call("GET", link, as_="", headers=HTML | headers)


async def choose(rest: Rest, link: str, form: Any = None, headers: Any = JSON) -> httpx.Response:
    return await rest.call("POST", link, as_="", headers=headers, data=ALIPAY if form is None else form)


async def test_the_page_shows_amount_number_time_and_channels(rest: Rest) -> None:
    order = await rest.placed()
    page = await open_page(rest, path(order))
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for words in ("39.98", order["order_sn"], "30 分 00 秒", "支付宝", "暂未开通", 'lang="zh-CN"'):
        assert words in page.text
    assert re.findall(r'value="(\w+)" (\w+)', page.text) == [
        ("alipay", "checked"),
        ("wechat", "disabled"),
        ("balance", "disabled"),
    ]
    english = await open_page(rest, path(order), **{"accept-language": "en-GB"})
    for words in ("Pay now", "Not available yet", 'lang="en"'):
        assert words in english.text


async def test_the_page_loads_nothing_and_is_framed_by_nobody(rest: Rest) -> None:
    page = await open_page(rest, path(await rest.placed()))
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_programs_get_data(rest: Rest) -> None:
    order = await rest.placed()
    data = await rest.data("GET", path(order), as_="", headers=JSON)
    CashierData.model_validate(data, strict=True)
    assert {c["payment_type"]: c["available"] for c in data["channels"]} == {
        "alipay": True,
        "wechat": False,
        "balance": False,
    }


async def test_choosing_a_channel_goes_to_the_provider_and_uses_the_open_attempt(
    rest: Rest, world: World
) -> None:
    order = await rest.placed()
    first = await choose(rest, path(order))
    again = await choose(rest, path(order))
    (payment_sn,) = world.provider.ledger
    for answer in (first, again):
        assert (answer.status_code, answer.headers["location"]) == (303, f"pay://{payment_sn}?page")
    assert (await rest.data("GET", f"/orders/{order['order_sn']}/payment"))["payment_sn"] == payment_sn


async def test_a_phone_is_sent_to_the_page_for_phones_and_another_device_to_its_own(
    rest: Rest, world: World
) -> None:
    order = await rest.placed()
    phone = JSON | {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148"}
    first = (await choose(rest, path(order), headers=phone)).headers["location"]
    again = (await choose(rest, path(order), headers=phone)).headers["location"]
    desk = (await choose(rest, path(order))).headers["location"]
    earlier, later = world.provider.ledger
    assert (first, again, desk) == (f"pay://{earlier}?wap", f"pay://{earlier}?wap", f"pay://{later}?page")
    detail = await rest.data("GET", f"/orders/{order['order_sn']}")
    assert [(p["payment_sn"], p["status"]) for p in detail["payments"]] == [(earlier, 4), (later, 1)]


async def test_who_changes_the_device_too_often_or_while_the_provider_is_away_keeps_the_open_attempt(
    rest: Rest, world: World
) -> None:
    order = await rest.placed()
    phone = JSON | {"user-agent": "iPhone"}
    for _ in range(MAX_ATTEMPTS // 2):
        await choose(rest, path(order))
        await choose(rest, path(order), headers=phone)
    *_, last = world.provider.ledger
    assert (await choose(rest, path(order))).headers["location"] == f"pay://{last}?wap"
    other = await rest.placed()
    await choose(rest, path(other))
    *_, desk = world.provider.ledger
    world.provider.mode = "down"
    assert (await choose(rest, path(other), headers=phone)).headers["location"] == f"pay://{desk}?page"


async def test_a_provider_that_hangs_sends_another_device_to_the_open_attempt(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await rest.placed()
    await choose(rest, path(order))
    (desk,) = world.provider.ledger
    monkeypatch.setattr(world.provider, "close", hangs)
    monkeypatch.setattr("shop_order.service.checkout.CHANGE_S", 0.05)
    phone = JSON | {"user-agent": "iPhone"}
    assert (await choose(rest, path(order), headers=phone)).headers["location"] == f"pay://{desk}?page"


async def hangs(payment_sn: str) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize("spoil", ["s", "e", "sn", "missing", "long"])
async def test_a_link_that_was_changed_is_401(rest: Rest, spoil: str) -> None:
    order, other = await rest.placed(), await rest.placed()
    query = {name: values[0] for name, values in parse_qs(urlsplit(order["pay_url"]).query).items()}
    order_sn = other["order_sn"] if spoil == "sn" else order["order_sn"]
    query = {
        "s": query | {"s": "A" * 22},
        "e": query | {"e": str(int(query["e"]) + 60)},
        "sn": query,
        "missing": {},
        "long": query | {"e": "9" * 60},
    }[spoil]
    for method in ("GET", "POST"):
        answer = await rest.call(method, f"/cashier/{order_sn}", as_="", params=query, headers=JSON)
        refused(answer, 401, "SIGNATURE_INVALID")
        page = await rest.call(method, f"/cashier/{order_sn}", as_="", params=query, headers=HTML)
        assert page.status_code == 401
        assert page.headers["content-type"].startswith("text/html")


async def test_what_is_paid_is_shown_so_and_not_paid_again(rest: Rest) -> None:
    order = await rest.paid()
    page = await open_page(rest, path(order))
    assert "支付成功" in page.text
    assert "<form" not in page.text
    refused(await choose(rest, path(order)), 409, "ILLEGAL_TRANSITION")
    refusal = await choose(rest, path(order), headers=HTML)
    shows_the_way_back(refusal, 409, order)
    assert "订单已支付，无需再次支付" in refusal.text
    assert "PAID" not in refusal.text


async def test_what_is_cancelled_is_shown_so(rest: Rest) -> None:
    order = await rest.placed()
    await rest.data("POST", f"/orders/{order['order_sn']}/cancel")
    assert "订单已取消" in (await open_page(rest, path(order))).text
    refused(await choose(rest, path(order)), 409, "ILLEGAL_TRANSITION")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"payment_type": "wechat"}, 409, "CHANNEL_UNAVAILABLE"),
        ({"payment_type": "gold"}, 400, "INVALID_ARGUMENT"),
        ({"payment_type": ["alipay", "alipay"]}, 400, "INVALID_ARGUMENT"),
        ({"other": "x"}, 400, "INVALID_ARGUMENT"),
        ({}, 400, "INVALID_ARGUMENT"),
    ],
)
async def test_only_open_channels_can_be_chosen(rest: Rest, form: Any, status: int, error: str) -> None:
    refused(await choose(rest, path(await rest.placed()), form), status, error)


async def test_a_channel_without_its_keys_can_be_chosen_nowhere(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await rest.placed()
    monkeypatch.setattr(world.provider, "available", lambda: False)
    refused(await rest.call("POST", "/orders", PLACE | {"pay_type": "alipay"}), 409, "CHANNEL_UNAVAILABLE")
    shown = await rest.data("GET", path(order), as_="", headers=JSON)
    assert not any(channel["available"] for channel in shown["channels"])
    assert 'value="alipay" disabled' in (await open_page(rest, path(order))).text


async def test_with_little_time_left_nobody_is_sent_to_the_provider(rest: Rest, world: World) -> None:
    order = await rest.placed()
    await world.clock.advance(1800 - 89)
    assert "1 分 29 秒" in (await open_page(rest, path(order))).text
    refused(await choose(rest, path(order)), 409, "PAY_WINDOW_CLOSED")


# ---- what a browser is shown when it does not work ----


def shows_the_way_back(page: httpx.Response, status: int, order: Any) -> None:
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "sha256-" in page.headers["content-security-policy"]
    assert f'href="{escape("?" + urlsplit(order["pay_url"]).query)}">返回收银台</a>' in page.text


async def test_a_provider_that_hangs_is_told_on_a_page(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await rest.placed()
    await choose(rest, path(order))
    monkeypatch.setattr(world.provider, "close", hangs)
    rest.deadline_s = 0.3
    phone = {"user-agent": "iPhone"}
    page = await choose(rest, path(order), headers=HTML | phone)
    shows_the_way_back(page, 504, order)
    assert "请求超时" in page.text
    refused(await choose(rest, path(order), headers=JSON | phone), 504, "DEADLINE_EXCEEDED")


async def test_who_comes_too_often_is_told_on_a_page(rest: Rest) -> None:
    order = await rest.placed()
    rest.rates = Rates(user_rate=1, user_burst=1)
    await open_page(rest, path(order))
    page = await open_page(rest, path(order))
    shows_the_way_back(page, 429, order)
    assert int(page.headers["retry-after"]) >= 1
    refused(await rest.call("GET", path(order), as_="", headers=JSON), 429, "RATE_LIMITED")


async def test_a_link_that_is_too_long_is_no_link(rest: Rest) -> None:
    order = await rest.placed()
    for spoiled in (path(order) + "A" * 50, path(order).replace("?", "0" * 50 + "?")):
        page = await open_page(rest, spoiled)
        assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
        assert "付款链接无效" in page.text
        assert "返回收银台" not in page.text


async def test_elsewhere_browsers_are_answered_like_programs(rest: Rest) -> None:
    refused(await rest.call("GET", "/orders/1", headers=HTML), 400, "INVALID_ARGUMENT")
