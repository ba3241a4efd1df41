"""The cashier on each device: codes to scan, pages for phones, the bridge inside WeChat, and the balance."""

from __future__ import annotations

import hashlib
import hmac
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from shop_order.domain.entity.payment import PaymentAction, Redirect
from shop_order.domain.ports import Device, OpenRequest, RefundResult, TradeTypes
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.base import ChannelContext
from shop_order.service.pay import MAX_ATTEMPTS
from shop_order.web.html import qr_svg
from tests.component.rest.front import PUBLIC_URL, Rest, refused
from tests.component.rest.test_cashier import ALIPAY, HTML, JSON, choose, open_page, path
from tests.world.shop import World
from tests.world.toy_channel import ToyChannel
from tests.world.toy_channel import sign as toy_sign

WECHAT, BALANCE = {"payment_type": "wechat"}, {"payment_type": "balance"}
DESK: dict[str, str] = {}
PHONE = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148"}
INSIDE = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Mobile/15E148 MicroMessenger/8.0.50"}
PAGE = "https://shop.example/openid?app_id=wx1"


class Teller(ToyChannel):
    """A channel with a way to pay on each device, as WeChat Pay has."""

    payment_type = PaymentType.WECHAT
    trade_types = TradeTypes(
        ("native", "h5", "bridge"),
        at_cashier={Device.PHONE: "h5", Device.WECHAT: "bridge"},
        by_openid=frozenset({"bridge"}),
        openid_page=PAGE,
    )

    async def open(self, request: OpenRequest) -> PaymentAction:
        if request.payment.trade_type == "h5":
            self.opened[request.payment.payment_sn] = request
            return Redirect(f"https://wx.example/pay?prepay_id={request.payment.payment_sn}")
        return await super().open(request)


class Purse(Teller):
    """A channel that debits without the buyer, as the balance does."""

    payment_type = PaymentType.BALANCE
    trade_types = TradeTypes(("message",))


@pytest.fixture
def teller(world: World, monkeypatch: pytest.MonkeyPatch) -> Teller:
    context = ChannelContext("http://n/", lambda: 1.0, lambda: 0, print)
    found = Teller("key", "us", context)
    all_three = {
        PaymentType.ALIPAY: world.provider,
        PaymentType.WECHAT: found,
        PaymentType.BALANCE: Purse("k", "us", context),
    }
    monkeypatch.setattr(world.channels, "_configured", all_three)
    return found


def signed(order: Any, openid: str, expires_s: int, key: bytes = b"k" * 32) -> str:
    """What the shop's page appends to the link."""
    text = f"openid={openid}&order_sn={order['order_sn']}&expires={expires_s}"
    sign = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return "&" + urlencode({"openid": openid, "openid_expires": expires_s, "openid_sign": sign})


def known(rest: Rest, order: Any, openid: str = "o-7") -> str:
    """The link with an openid that counts for ten minutes."""
    return path(order) + signed(order, openid, rest.world.real_ms // 1000 + 600)


async def bridge(rest: Rest, order: Any, openid: str = "o-7") -> Any:
    """The bridge's parameters after the buyer chose WeChat inside WeChat."""
    link = known(rest, order, openid)
    sent = await choose(rest, link, WECHAT, JSON | INSIDE)
    assert (sent.status_code, sent.headers["location"][-10:]) == (303, "&go=wechat")
    return (await rest.data("GET", link, as_="", headers=JSON | INSIDE))["jsapi_params"]


# ---- a code to scan ----


async def test_a_code_is_drawn_and_the_page_sees_the_payment_by_itself(
    rest: Rest, teller: Teller, world: World
) -> None:
    order = await rest.placed()
    sent = await choose(rest, path(order), WECHAT)
    assert sent.headers["location"] == "?" + urlsplit(order["pay_url"]).query
    (payment_sn,) = teller.opened
    page = (await open_page(rest, path(order))).text
    for words in (qr_svg(f"toy://pay/{payment_sn}"), "打开微信，扫一扫付款", 'data-poll="2"', "更换支付方式"):
        assert words in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert '<details id="again">' in page, "folded: the code is what matters"
    teller.paid[payment_sn] = order["pay_fen"]
    world.real_ms += 2000
    assert "支付成功" in (await open_page(rest, path(order))).text


async def test_a_code_on_a_phone_offers_the_other_ways(rest: Rest, teller: Teller) -> None:
    order = await rest.placed()
    await choose(rest, path(order), WECHAT)
    page = (await open_page(rest, path(order), **PHONE)).text
    assert "请用另一部手机扫描" in page
    assert '<details id="again" open>' in page
    english = (await open_page(rest, path(order), **{"accept-language": "en"})).text
    assert "Scan with WeChat" in english


async def test_a_phone_goes_to_the_page_for_phones_which_learns_the_origin_alone(
    rest: Rest, teller: Teller
) -> None:
    order = await rest.placed()
    for answer in (
        await open_page(rest, path(order), **PHONE),
        await choose(rest, path(order), WECHAT, JSON | PHONE),
        await choose(rest, path(order), {}, HTML),
    ):
        assert answer.headers["referrer-policy"] == "origin"
    (payment_sn,) = teller.opened
    again = await choose(rest, path(order), WECHAT, JSON | PHONE)
    assert again.headers["location"] == f"https://wx.example/pay?prepay_id={payment_sn}"
    assert (await rest.call("GET", "/orders")).headers["referrer-policy"] == "no-referrer"


# ---- inside WeChat ----


async def test_inside_wechat_the_shops_page_is_asked_who_pays_and_the_payment_goes_on(
    rest: Rest, teller: Teller
) -> None:
    order = await rest.placed()
    sent = await choose(rest, path(order), WECHAT, JSON | INSIDE)
    target = urlsplit(sent.headers["location"])
    query = {name: value for name, (value,) in parse_qs(target.query).items()}
    back = order["pay_url"] + "&go=wechat"
    assert sent.status_code == 303
    assert query == {"app_id": "wx1", "order_sn": order["order_sn"], "return_url": back}
    assert not teller.opened, "nothing is opened for nobody"
    page = (await open_page(rest, known(rest, order) + "&go=wechat", **INSIDE)).text
    assert '<form method="post" data-go>' in page
    assert 'value="wechat" checked' in page
    for other in ("alipay", "balance"):
        page = (await open_page(rest, known(rest, order) + f"&go={other}", **INSIDE)).text
        assert '<form method="post" data-go>' not in page, "nothing else is paid without a click"
    params = await bridge(rest, order)
    page = (await open_page(rest, known(rest, order), **INSIDE)).text
    assert 'id="bridge"' in page
    assert escape(params["package"]) in page
    assert [request.payer.openid for request in teller.opened.values()] == ["o-7"]


@pytest.mark.parametrize("spoil", ["sign", "openid", "key", "late", "far", "order", "unsigned", "spaces"])
async def test_an_openid_that_nobody_signed_for_this_order_and_hour_is_none(
    rest: Rest, teller: Teller, spoil: str
) -> None:
    order, other = await rest.placed(), await rest.placed()
    now_s = rest.world.real_ms // 1000
    more = {
        "sign": signed(order, "o-7", now_s + 600)[:-1] + "x",
        "openid": signed(order, "o-7", now_s + 600).replace("o-7", "o-8"),
        "key": signed(order, "o-7", now_s + 600, b"x" * 32),
        "late": signed(order, "o-7", now_s - 1),
        "far": signed(order, "o-7", now_s + 3601),
        "order": signed(other, "o-7", now_s + 600),
        "unsigned": "&openid=o-7",
        "spaces": signed(order, "o 7&order_sn=1", now_s + 600),
    }[spoil]
    sent = await choose(rest, path(order) + more, WECHAT, JSON | INSIDE)
    assert sent.headers["location"].startswith(PAGE)
    assert not teller.opened
    page = await open_page(rest, path(order) + more + "&go=wechat", **INSIDE)
    assert "<form" in page.text
    assert '" data-go>' not in page.text


async def test_an_open_attempt_is_for_the_payer_it_was_opened_for(rest: Rest, teller: Teller) -> None:
    order = await rest.placed()
    first = await bridge(rest, order)
    assert await bridge(rest, order) == first, "the same payer goes on with it"
    other = await bridge(rest, order, "o-8")
    assert other != first
    earlier, later = teller.opened
    assert teller.closed == {earlier}
    detail = await rest.data("GET", f"/orders/{order['order_sn']}")
    assert [(p["payment_sn"], p["status"]) for p in detail["payments"]] == [(earlier, 4), (later, 1)]
    body = WECHAT | {"trade_type": "bridge"}
    refused(await rest.call("POST", f"/orders/{order['order_sn']}/pay", body), 400, "INVALID_ARGUMENT")
    assert teller.closed == {earlier}, "nobody's payment closes nothing"


async def test_no_openid_is_stored_or_told(rest: Rest, teller: Teller, world: World) -> None:
    order = await rest.placed()
    await bridge(rest, order, "o-very-secret-7")
    await world.relay.run_once()
    for file in world.folder.iterdir():
        if file.is_file():
            assert b"very-secret" not in file.read_bytes(), file.name
    assert "very-secret" not in str(rest.log.lines)


async def test_the_bridge_is_offered_inside_the_app_alone(rest: Rest, teller: Teller) -> None:
    order = await rest.placed()
    await bridge(rest, order)
    page = (await open_page(rest, path(order))).text
    assert 'id="bridge"' not in page
    assert "请在原应用内付款" in page
    assert '<details id="again" open>' in page


@pytest.mark.parametrize(
    ("language", "words"), [("zh-CN", "在浏览器打开"), ("en", "does not open inside WeChat")]
)
async def test_alipay_asks_for_a_browser_inside_wechat(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch, teller: Teller, language: str, words: str
) -> None:
    types = TradeTypes(("page", "wap"), not_on=frozenset({Device.WECHAT}))
    monkeypatch.setattr(world.provider, "trade_types", types, raising=False)
    order = await rest.placed()
    page = (await open_page(rest, path(order), **INSIDE, **{"accept-language": language})).text
    assert words in page
    assert 'value="alipay" disabled' in page
    assert 'value="wechat" checked' in page
    sent = await choose(rest, path(order), ALIPAY, HTML | INSIDE | {"accept-language": language})
    assert (sent.status_code, not world.provider.ledger) == (409, True)
    assert "WeChat" in sent.text or "浏览器打开" in sent.text
    assert 'value="alipay" checked' in (await open_page(rest, path(order), **PHONE)).text


# ---- the balance ----


@pytest.mark.parametrize(("balance_fen", "can_pay"), [(3998, True), (3997, False), (0, False), (None, True)])
async def test_the_balance_shows_what_is_there(
    rest: Rest, teller: Teller, world: World, balance_fen: int | None, can_pay: bool
) -> None:
    asked = []

    async def balance(user: int) -> int | None:
        asked.append(user)
        return balance_fen

    world.checkout.balance = balance
    order = await rest.placed()
    data = await rest.data("GET", path(order), as_="", headers=JSON)
    (offer,) = (one for one in data["channels"] if one["payment_type"] == "balance")
    assert (offer["available"], data["balance_fen"], asked) == (can_pay, balance_fen, [7])
    page = (await open_page(rest, path(order))).text
    shown = None if balance_fen is None else f"{balance_fen / 100:.2f}"
    assert ("可用余额 ¥" in page) is (can_pay and balance_fen is not None)
    assert ("余额不足" in page) is not can_pay
    assert shown is None or f"¥{shown}" in page


async def test_a_debit_on_its_way_is_confirmed_and_nobody_is_asked_for_the_balance_of_a_paid_order(
    rest: Rest, teller: Teller, world: World
) -> None:
    async def balance(user: int) -> int | None:
        raise AssertionError("asked")

    order = await rest.placed()
    await choose(rest, path(order), BALANCE)
    assert "正在确认付款" in (await open_page(rest, path(order))).text
    world.checkout.balance = balance
    assert "支付成功" in (await open_page(rest, path(await rest.paid()))).text


# ---- switching ----


async def test_another_channel_closes_the_attempt_first_and_its_late_success_comes_back(
    rest: Rest, teller: Teller, world: World
) -> None:
    order = await rest.placed()
    await choose(rest, path(order), WECHAT)
    (scanned,) = teller.opened
    await choose(rest, path(order), ALIPAY)
    assert teller.closed == {scanned}
    (page,) = world.provider.ledger
    world.provider.pay(page)
    world.real_ms += 2000
    assert (await rest.data("GET", path(order), as_="", headers=JSON))["state"] == "paid"
    body = f'{{"sn": "{scanned}", "fen": {order["pay_fen"]}, "seller": "us"}}'.encode()
    await world.payments.provider_notice(
        PaymentType.WECHAT, body, {"toy-signature": toy_sign(teller.key, body)}
    )
    data = await rest.data("GET", path(order), as_="", headers=JSON)
    assert (data["state"], data["refunding_fen"]) == ("paid", order["pay_fen"])
    teller.paid[scanned] = order["pay_fen"]
    await world.settlement.refund_due()
    (refund_sn,) = teller.refunds
    stored = (await world.store.orders.get(order["order_sn"])).refunds[refund_sn]
    assert (stored.payment_sn, await teller.query_refund(stored)) == (scanned, RefundResult.SUCCEEDED)


async def test_an_attempt_that_can_not_be_closed_blocks_the_switch(rest: Rest, teller: Teller) -> None:
    order = await rest.placed()
    await choose(rest, path(order), WECHAT)
    teller.reachable = False
    answer = await choose(rest, path(order), ALIPAY, HTML)
    assert (answer.status_code, "请求超时" in answer.text) == (503, True)
    teller.reachable = True
    assert (await choose(rest, path(order), ALIPAY)).status_code == 303


async def test_switching_has_an_end(rest: Rest, teller: Teller) -> None:
    order = await rest.placed()
    for at in range(MAX_ATTEMPTS):
        assert (await choose(rest, path(order), (WECHAT, ALIPAY)[at % 2])).status_code == 303
    refused(await choose(rest, path(order), WECHAT), 409, "CHANNEL_UNAVAILABLE")
    assert PUBLIC_URL in order["pay_url"]
