"""Opening a payment at WeChat Pay: what is asked for each trade type, and what the buyer gets."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from shop_order.domain.entity.payment import BridgeParameters, QrCode, Redirect
from shop_order.domain.errors import ChannelUnavailable, DependencyDown, InvalidArgument, OrderServiceError
from shop_order.domain.ports import Device, OpenRequest, Payer
from shop_order.domain.status import PaymentType
from tests.contract.channels import OPENED
from tests.world.provider import an_attempt
from tests.world.wechat import KEY_ID, MCH_ID, WechatWorld, key, wechat

PAYMENT_SN = "P261121080000000000000000001"
PAYER = Payer("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "2001:db8::7")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WechatWorld]:
    async with wechat(tmp_path) as found:
        found.answers |= {f"/{kind}": (200, OPENED) for kind in ("native", "jsapi", "h5", "app")}
        yield found


def request(
    trade_type: str, subject: str = "红富士苹果 等 2 件", payer: Payer = PAYER, **about: object
) -> OpenRequest:
    payment = an_attempt(PAYMENT_SN, payment_type=PaymentType.WECHAT, trade_type=trade_type)
    fields = {"lasts_ms": 1_800_000, "return_url": ""} | about
    return OpenRequest(payment, subject, payer=payer, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trade_type", "path", "app_id", "more"),
    [
        ("native", "native", "wx1", {}),
        ("jsapi", "jsapi", "wx1", {"payer": {"openid": PAYER.openid}}),
        ("mini", "jsapi", "wx2", {"payer": {"openid": PAYER.openid}}),
        ("app", "app", "wx3", {}),
        ("h5", "h5", "wx1", {"scene_info": {"payer_client_ip": "2001:db8::7", "h5_info": {"type": "Wap"}}}),
    ],
)
async def test_each_trade_type_asks_for_its_own(
    world: WechatWorld, trade_type: str, path: str, app_id: str, more: dict[str, object]
) -> None:
    await world.channel.open(request(trade_type))
    [(method, target, asked)] = world.asked
    assert (method, target) == ("POST", f"/base/v3/pay/transactions/{path}")
    assert asked == {
        "appid": app_id,
        "mchid": MCH_ID,
        "description": "红富士苹果 等 2 件",
        "out_trade_no": PAYMENT_SN,
        "time_expire": "2026-11-30T09:23:20+08:00",
        "notify_url": "https://shop.example/notify",
        "amount": {"total": 1999, "currency": "CNY"},
        **more,
    }
    [headers] = world.headers
    assert headers["wechatpay-serial"] == KEY_ID
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("shop-order/")


async def test_a_call_looks_for_no_installed_version(
    world: WechatWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.channel.open(request("native"))
    monkeypatch.delattr(metadata, "version")  # it reads a file, on the event loop
    await world.channel.open(request("native"))


async def test_a_native_payment_is_a_qr_code(world: WechatWorld) -> None:
    assert await world.channel.open(request("native")) == QrCode(OPENED["code_url"])


async def test_h5_comes_back_to_the_shop(world: WechatWorld) -> None:
    assert await world.channel.open(request("h5")) == Redirect(OPENED["h5_url"])
    opened = await world.channel.open(request("h5", return_url="https://shop.example/a?b=c&d=苹果"))
    assert isinstance(opened, Redirect)
    assert opened.url.startswith(OPENED["h5_url"] + "&redirect_url=https%3A%2F%2F")
    assert parse_qs(urlsplit(opened.url).query)["redirect_url"] == ["https://shop.example/a?b=c&d=苹果"]


def verify(text: str, signature: str) -> None:
    key("us").public_key().verify(
        base64.b64decode(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize(("trade_type", "app_id"), [("jsapi", "wx1"), ("mini", "wx2")])
async def test_the_bridge_gets_signed_parameters(world: WechatWorld, trade_type: str, app_id: str) -> None:
    opened = await world.channel.open(request(trade_type))
    assert isinstance(opened, BridgeParameters)
    values = dict(opened.values)
    verify(f"{app_id}\n1796000000\n593BEC0C930B\nprepay_id=wx2611\n", values.pop("paySign"))
    assert values == {
        "appId": app_id,
        "timeStamp": "1796000000",
        "nonceStr": "593BEC0C930B",
        "package": "prepay_id=wx2611",
        "signType": "RSA",
    }


async def test_the_app_gets_signed_parameters(world: WechatWorld) -> None:
    opened = await world.channel.open(request("app"))
    assert isinstance(opened, BridgeParameters)
    values = dict(opened.values)
    verify("wx3\n1796000000\n593BEC0C930B\nwx2611\n", values.pop("sign"))
    assert values == {
        "appid": "wx3",
        "partnerid": MCH_ID,
        "prepayid": "wx2611",
        "package": "Sign=WXPay",
        "noncestr": "593BEC0C930B",
        "timestamp": "1796000000",
    }


@pytest.mark.parametrize(
    ("trade_type", "field"), [("jsapi", "openid"), ("mini", "openid"), ("h5", "client_ip")]
)
async def test_a_payer_who_is_needed_is_asked_for(world: WechatWorld, trade_type: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as missing:
        await world.channel.open(request(trade_type, payer=Payer()))
    assert (missing.value.field, missing.value.problem) == (field, "required")
    assert not world.asked


@pytest.mark.parametrize(
    ("subject", "sent"),
    [
        ("a" * 200, "a" * 127),
        ("苹" * 100, "苹" * 42),  # 126 bytes: WeChat counts bytes, and half a character is none
        ("🍎苹果🍎", "苹果"),
        ("🍎", "261123134500123456789012349"),
        ('+ % & = " \\ / \t', '+ % & = " \\ / \t'),
        ("唱片,`一`", "唱片,'一'"),  # as it stands between two values of a bill
    ],
)
async def test_the_description_fits(world: WechatWorld, subject: str, sent: str) -> None:
    await world.channel.open(request("native", subject))
    assert world.asked[0][2]["description"] == sent


async def test_it_expires_a_minute_ahead_at_least(world: WechatWorld) -> None:
    await world.channel.open(request("native", lasts_ms=3_000))
    assert world.asked[0][2]["time_expire"] == "2026-11-30T08:54:25+08:00"


@pytest.mark.parametrize(
    ("status", "code", "detail", "error"),
    [
        (400, "PARAM_ERROR", {"field": "/payer/openid"}, InvalidArgument),
        (400, "PARAM_ERROR", {"field": "/description"}, DependencyDown),
        (403, "NO_AUTH", None, ChannelUnavailable),
        (400, "APPID_MCHID_NOT_MATCH", None, ChannelUnavailable),
        (429, "FREQUENCY_LIMITED", None, DependencyDown),
        (500, "SYSTEM_ERROR", None, DependencyDown),
        (200, "", None, DependencyDown),  # without prepay_id
    ],
)
async def test_a_refusal_is_told_apart(
    world: WechatWorld, status: int, code: str, detail: object, error: type[OrderServiceError]
) -> None:
    world.answers["/jsapi"] = (status, {"code": code, "message": "", "detail": detail})
    with pytest.raises(error):
        await world.channel.open(request("jsapi"))


async def test_a_missing_answer_opens_nothing(world: WechatWorld) -> None:
    world.signs = lambda body: {}
    with pytest.raises(DependencyDown):
        await world.channel.open(request("native"))


async def test_a_kind_without_an_app_id_is_unavailable(tmp_path: Path) -> None:
    async with wechat(tmp_path, app_ids={"official": "wx1"}) as world:
        types = world.channel.trade_types
        assert types.offered == ("native", "jsapi", "h5")
        assert types.unavailable == {"mini", "app"}
        assert {types.at_cashier[device] for device in Device} <= set(types.offered)
    async with wechat(tmp_path, app_ids={"app": "wx3"}) as world:
        types = world.channel.trade_types
        assert types.offered == ("app",)
        assert {types.at_cashier[device] for device in Device} <= types.unavailable, (
            "no browser can pay by app"
        )


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://shop.example/openid", "https://shop.example/openid?app_id=wx1"),
        ("https://shop.example/?page=openid", "https://shop.example/?page=openid&app_id=wx1"),
        ("", ""),
    ],
)
async def test_the_page_that_gets_an_openid_learns_the_app_id(tmp_path: Path, url: str, page: str) -> None:
    async with wechat(tmp_path, openid_url=url) as world:
        assert world.channel.trade_types.openid_page == page
