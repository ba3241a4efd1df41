"""What a buyer is sent to Alipay with: accepted by a provider that reads it as strictly as the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from shop_order.domain.entity.payment import BridgeParameters, PaymentAction, Redirect
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import OpenRequest
from shop_order.domain.valueobject.item import OrderItem, title
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings
from shop_order.gateway.payment.alipay.keys import CertificateFiles
from shop_sandbox.alipay import requests
from shop_sandbox.alipay.keys import APP_ID, SELLER_ID, Keys, ensure_keys
from tests.world.provider import an_attempt

ORDER_SN, PAYMENT_SN = "261123134500123456789012349", "P261121080000000000000000001"
GATEWAY = "http://127.0.0.1:8090/alipay/gateway.do"
NOW_MS, BACK = 1_795_000_000_000, "http://127.0.0.1:8080/back?e=1&s=a"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Keys]]:
    folder = tmp_path_factory.mktemp("keys")
    yield folder, ensure_keys(folder)


async def opened(
    keys: tuple[Path, Keys],
    trade_type: str,
    subject: str,
    return_url: str = BACK,
    *,
    by_certificates: bool = False,
) -> requests.PayRequest:
    """What the provider reads of the link, or of the text that Alipay's app gets."""
    folder, provider = keys
    names = ("alipay_app_cert.pem", "alipay_cert.pem", "alipay_root_cert.pem")
    settings = AlipaySettings(
        GATEWAY,
        APP_ID,
        SELLER_ID,
        folder / "alipay_app_private.pem",
        None if by_certificates else folder / "alipay_public.pem",
        "http://127.0.0.1:8080/notify",
        lambda: 1.0,
        CertificateFiles(*(folder / name for name in names)) if by_certificates else None,
    )
    payment = an_attempt(PAYMENT_SN, order_sn=ORDER_SN, trade_type=trade_type)
    request = OpenRequest(payment, subject, 1_800_000, return_url)
    action = await Alipay(settings, lambda: NOW_MS, print).open(request)
    text = action.values["orderStr"] if isinstance(action, BridgeParameters) else query_of(action)
    call = dict(parse_qsl(text, strict_parsing=True))
    assert requests.by_certificates(call) is by_certificates
    return requests.pay_request(requests.verify(call, provider), call, NOW_MS)


def query_of(action: PaymentAction) -> str:
    assert isinstance(action, Redirect)
    assert action.url.startswith(f"{GATEWAY}?")
    return urlsplit(action.url).query


@pytest.mark.parametrize(("trade_type", "method"), [("page", requests.PAGE_PAY), ("wap", requests.WAP_PAY)])
async def test_both_pages_are_accepted_with_a_way_back(
    keys: tuple[Path, Keys], trade_type: str, method: str
) -> None:
    read = await opened(keys, trade_type, "苹果 等 3 件")
    assert (read.method, read.subject, read.return_url, read.order_ref) == (
        method,
        "苹果 等 3 件",
        BACK,
        ORDER_SN,
    )
    assert read.quit_url == (BACK if trade_type == "wap" else "")
    assert (await opened(keys, trade_type, "a", "")).quit_url == ""


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("1/2 A&B=C", "1／2 A＆B＝C"),
        ("\u202eevil\u200b", "evil"),
        ("\u3164", f"订单 {ORDER_SN}"),
        ("/=&" * 100, ("／＝＆" * 100)[:99] + "…"),
    ],
)
async def test_the_subject_keeps_the_rules_of_the_provider(
    keys: tuple[Path, Keys], name: str, subject: str
) -> None:
    called = title([OrderItem(1, 1, name, "", 100, 1)], ORDER_SN)
    assert (await opened(keys, "page", called)).subject == subject


async def test_a_subject_is_cut_to_what_the_provider_takes(keys: tuple[Path, Keys]) -> None:
    assert len((await opened(keys, "wap", "字" * 300)).subject) == 256


async def test_an_address_that_the_provider_refuses_is_refused_by_us(keys: tuple[Path, Keys]) -> None:
    with pytest.raises(InvalidArgument):
        await opened(keys, "page", "a", "http://127.0.0.1/" + "a" * 240)


@pytest.mark.parametrize("by_certificates", [False, True])
@pytest.mark.parametrize("subject", ["苹果 + 梨 % 100", "🍎", "a" * 256, "'\"<>\\"])
async def test_an_app_gets_a_text_that_alipay_accepts(
    keys: tuple[Path, Keys], subject: str, by_certificates: bool
) -> None:
    read = await opened(keys, "app", subject, by_certificates=by_certificates)
    assert (read.method, read.subject, read.return_url) == (requests.APP_PAY, subject, "")
    assert (read.amount_fen, read.out_trade_no) == (1999, PAYMENT_SN)


async def test_pages_are_accepted_in_certificate_mode_too(keys: tuple[Path, Keys]) -> None:
    assert (await opened(keys, "page", "苹果", by_certificates=True)).return_url == BACK


@pytest.mark.parametrize(
    ("method", "biz"),
    [
        (requests.WAP_PAY, {"product_code": "FAST_INSTANT_TRADE_PAY"}),
        (requests.WAP_PAY, {"quit_url": "javascript:alert(1)"}),
        (requests.WAP_PAY, {"quit_url": "http://h/" + "a" * 400}),
        (requests.WAP_PAY, {"subject": "a\u200b"}),
        (requests.PAGE_PAY, {"product_code": "FAST_INSTANT_TRADE_PAY", "quit_url": "http://h/"}),
    ],
)
def test_the_simulator_is_as_strict_with_phones(method: str, biz: dict[str, str]) -> None:
    wanted = {"out_trade_no": "P1", "total_amount": "1.00", "subject": "a", "product_code": "QUICK_WAP_PAY"}
    with pytest.raises(requests.Refused):
        requests.pay_request(method, {"biz_content": json.dumps(wanted | biz)}, NOW_MS)
