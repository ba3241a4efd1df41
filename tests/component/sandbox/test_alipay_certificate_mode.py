"""Certificate mode: our channel and the simulator name and verify each other's certificates."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from shop_order.domain.entity.payment import QrCode
from shop_order.domain.errors import SignatureInvalid
from shop_order.domain.ports import OpenRequest, RefundResult, Trade, TradeState
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings
from shop_order.gateway.payment.alipay.keys import CertificateFiles
from shop_order.gateway.payment.http import HttpAnswer
from shop_sandbox.alipay import signing
from shop_sandbox.alipay.certificates import number_of
from shop_sandbox.alipay.keys import APP_ID, SELLER_ID, Keys, ensure_keys
from shop_sandbox.server import Sandbox
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import Merchant
from tests.world.provider import a_refund, an_attempt

PAYMENT_SN, REFUND_SN = "P261121080000000000000000001", "R261121080000000000000000001"
QUERY = "alipay.trade.query"
NAMES = ("alipay_app_cert.pem", "alipay_cert.pem", "alipay_root_cert.pem")


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
async def shop(
    merchant: Merchant, sandbox: Sandbox, clock: Clock, told: list[dict[str, Any]]
) -> AsyncIterator[Alipay]:
    folder = sandbox.settings.keys_dir
    settings = AlipaySettings(
        f"{merchant.base}/gateway.do",
        APP_ID,
        SELLER_ID,
        folder / "alipay_app_private.pem",
        None,
        merchant.notify_url,
        lambda: 5.0,
        CertificateFiles(*(folder / name for name in NAMES)),
    )
    channel = Alipay(settings, clock, lambda event, **about: told.append({"event": event} | about))
    yield channel
    await channel.aclose()


async def opened(shop: Alipay) -> QrCode:
    payment = an_attempt(PAYMENT_SN, trade_type="qr")
    action = await shop.open(OpenRequest(payment, "苹果", 1_800_000))
    assert isinstance(action, QrCode)
    return action


async def test_a_code_is_scanned_paid_and_refunded_by_certificates(
    shop: Alipay, merchant: Merchant, told: list[dict[str, Any]]
) -> None:
    code = await opened(shop)
    assert await shop.query(PAYMENT_SN) == Trade(TradeState.ABSENT)
    page = await merchant.client.get(code.text, follow_redirects=True)
    assert "扫码支付" in page.text
    assert (await shop.query(PAYMENT_SN)).state is TradeState.WAITING
    await merchant.act("pay", PAYMENT_SN)
    assert (await shop.query(PAYMENT_SN)).state is TradeState.PAID
    notice = shop.verify(urlencode(merchant.notices[0]).encode(), {})
    assert (notice.payment_sn, notice.trade.amount_fen) == (PAYMENT_SN, 1999)
    refund = a_refund(an_attempt(PAYMENT_SN), REFUND_SN)
    assert await shop.refund(an_attempt(PAYMENT_SN), refund) is RefundResult.SUCCEEDED
    assert await shop.query_refund(refund) is RefundResult.SUCCEEDED
    assert told == []


async def test_a_refund_after_the_time_limit_is_too_late(shop: Alipay, merchant: Merchant) -> None:
    await opened(shop)
    await merchant.act("pay", PAYMENT_SN)
    await merchant.act("finish", PAYMENT_SN)
    assert (await shop.query(PAYMENT_SN)).state is TradeState.PAID
    refund = a_refund(an_attempt(PAYMENT_SN), REFUND_SN)
    assert await shop.refund(an_attempt(PAYMENT_SN), refund) is RefundResult.TOO_LATE
    assert await shop.query_refund(refund) is RefundResult.UNKNOWN, "no money went back"


async def test_a_renewed_certificate_is_fetched_and_then_believed(
    shop: Alipay, merchant: Merchant, told: list[dict[str, Any]]
) -> None:
    await opened(shop)
    await merchant.client.post(f"{merchant.base}/sim/certificate")
    await merchant.act("pay", PAYMENT_SN)
    body = urlencode(merchant.notices[0]).encode()
    with pytest.raises(SignatureInvalid):
        shop.verify(body, {})
    assert (await shop.query(PAYMENT_SN)).state is TradeState.PAID
    assert [one["event"] for one in told] == ["alipay_certificate_fetched"]
    assert shop.verify(body, {}).payment_sn == PAYMENT_SN
    await shop.query(PAYMENT_SN)
    assert len(told) == 1, "it is fetched once"


async def test_a_stranger_under_the_same_root_is_not_believed(
    shop: Alipay, merchant: Merchant, sandbox: Sandbox, told: list[dict[str, Any]], monkeypatch: Any
) -> None:
    """The authority also issues the certificates of merchants, whoever they are."""
    await opened(shop)
    answered = []

    async def signed_by_merchant(fields: dict[str, str]) -> HttpAnswer:
        method = fields["method"].replace(".", "_")
        keys = ensure_keys(sandbox.settings.keys_dir)
        answered.append(method)
        paid = {"trade_no": "1", "trade_status": "TRADE_SUCCESS", "total_amount": "19.99"}
        node = {"code": "10000", "out_trade_no": PAYMENT_SN, "alipay_cert_content": content_of(keys)}
        text = json.dumps(node | paid)
        sign = signing.sign(merchant.private, text)
        number = number_of(keys.certificates.merchant)
        body = f'{{"{method}_response":{text},"alipay_cert_sn":"{number}","sign":"{sign}"}}'
        return HttpAnswer(200, httpx.Headers({"content-type": "text/html;charset=utf-8"}), body.encode())

    monkeypatch.setattr(shop._gateway, "_post", signed_by_merchant)
    assert await shop.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)
    assert answered == ["alipay_trade_query", "alipay_open_app_alipaycert_download"]
    assert "not Alipay's" in told[-1]["error"]


def content_of(keys: Keys) -> str:
    return base64.b64encode(keys.certificates.files()["alipay_app_cert.pem"]).decode()


@pytest.mark.parametrize("wrong", [{"app_cert_sn": "0" * 32}, {"alipay_root_cert_sn": ""}])
async def test_the_gateway_refuses_calls_with_other_numbers(
    merchant: Merchant, sandbox: Sandbox, wrong: dict[str, str]
) -> None:
    numbers = ensure_keys(sandbox.settings.keys_dir).certificates.merchant_numbers
    for named, expected in ((numbers, "ACQ.TRADE_NOT_EXIST"), (numbers | wrong, "isv.invalid-cert-sn")):
        parameters = merchant.parameters(QUERY, {"out_trade_no": "P1"}, **named)
        reply = await merchant.client.post(f"{merchant.base}/gateway.do", data=parameters)
        assert json.loads(reply.text)["alipay_trade_query_response"]["sub_code"] == expected


async def test_without_certificates_answers_name_none(merchant: Merchant) -> None:
    parameters = merchant.parameters(QUERY, {"out_trade_no": "P1"})
    reply: httpx.Response = await merchant.client.post(f"{merchant.base}/gateway.do", data=parameters)
    assert "alipay_cert_sn" not in reply.text


def test_the_files_are_the_same_whoever_writes_them(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    (tmp_path / NAMES[0]).unlink()
    assert ensure_keys(tmp_path).certificates == first.certificates
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before
