"""Alipay's own client against our simulator: its requests are taken, our answers and notices verify."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from shop_sandbox.alipay.fields import CHINA
from shop_sandbox.alipay.keys import ensure_keys
from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from tests.providers.accounts import AlipayAccount
from tests.providers.alipay_merchant import APP, MODES, PAGE, PRECREATE, WAP, Merchant
from tests.providers.awkward import TEXTS, awkward_in_each_charset, long
from tests.providers.conftest import Ask
from tests.providers.partners import Recorder

CHARSETS = ("utf-8", "GBK")
in_each_charset = pytest.mark.parametrize("charset", CHARSETS)
WAYS = [*((method, http) for method in (PAGE, WAP) for http in ("GET", "POST")), (APP, "GET")]
in_each_mode = pytest.mark.parametrize("mode", MODES)
QUERY, CLOSE, REFUND = "alipay.trade.query", "alipay.trade.close", "alipay.trade.refund"
REFUND_QUERY = "alipay.trade.fastpay.refund.query"
BILL = "alipay.data.dataservice.bill.downloadurl.query"


@pytest_asyncio.fixture(loop_scope="session")
async def merchant(
    ask: Ask, browser: httpx.AsyncClient, sandbox: Sandbox, keys_dir: Path, notified: Recorder
) -> AsyncIterator[Merchant]:
    base = f"http://127.0.0.1:{sandbox.http_port}"
    yield Merchant(ask, browser, base, AlipayAccount(keys_dir), notified)
    await notices_in("utf-8", browser, base)


async def notices_in(charset: str, browser: httpx.AsyncClient, base: str) -> None:
    """From now on."""
    answer = await browser.post(f"{base}/alipay/sim/charset", json={"notices": charset})
    assert answer.status_code == 200


async def speaking(merchant: Merchant, charset: str, mode: str = "keys") -> None:
    """Its client and its notices have this charset from now on."""
    merchant.charset, merchant.mode = charset, mode
    await notices_in(charset, merchant.browser, merchant.sandbox_url)


@awkward_in_each_charset
@pytest.mark.parametrize(("method", "http"), WAYS)
async def test_what_the_client_sends_comes_back_in_the_notice(
    merchant: Merchant, charset: str, name: str, method: str, http: str
) -> None:
    await speaking(merchant, charset)
    number, page = await merchant.open(method, http, body=TEXTS[name], passback_params=TEXTS[name])
    if http == "POST" and "&lt;" in TEXTS[name]:
        # The library escapes only quotes in its form, so the browser sends another text than was signed.
        assert page.headers["x-alipay-sub-code"] == "isv.invalid-signature"
        return
    assert page.status_code == 200, page.headers
    await merchant.act(number, "pay")
    notice = await merchant.noticed()
    assert notice["out_trade_no"] == number
    assert (notice.get("body", ""), notice.get("passback_params", "")) == (TEXTS[name], TEXTS[name])


@in_each_charset
async def test_a_text_as_long_as_allowed_comes_back_and_a_longer_one_is_refused(
    merchant: Merchant, charset: str
) -> None:
    await speaking(merchant, charset)
    await merchant.paid(body=long(128), passback_params=long(512))
    notice = await merchant.noticed()
    assert (notice["body"], notice["passback_params"]) == (long(128), long(512))
    _, page = await merchant.open(body=long(129))
    assert page.status_code == 400


async def test_a_gbk_notice_has_a_question_mark_for_what_gbk_lacks(merchant: Merchant) -> None:
    await speaking(merchant, "GBK")
    merchant.charset = "utf-8"  # of the client alone
    await merchant.paid(body=TEXTS["emoji"])
    assert (await merchant.noticed())["body"].startswith("耳机?")


@pytest.mark.parametrize("action", ["notify_again", "close_notice", "refund_notice"])
@in_each_charset
@in_each_mode
async def test_every_kind_of_notice_is_verified_by_the_library(
    merchant: Merchant, action: str, charset: str, mode: str
) -> None:
    await speaking(merchant, charset, mode)
    number = await merchant.paid(subject="中文（商品）")
    paid = await merchant.noticed()
    assert paid["trade_status"] == "TRADE_SUCCESS"
    await merchant.act(number, action)
    notice = await merchant.noticed()
    assert (notice["notify_id"] == paid["notify_id"]) == (action == "notify_again")
    assert (notice["trade_status"] == "TRADE_CLOSED") == (action == "close_notice")
    assert ("refund_fee" in notice) == (action == "refund_notice")


async def test_the_library_refuses_a_notice_with_a_forged_signature(merchant: Merchant) -> None:
    number = await merchant.paid()
    await merchant.act(number, "forge_sign")
    assert not (await merchant.checked(merchant.notified.last()))["valid"]
    await merchant.act(
        number, "forge_amount"
    )  # forged with the right key: only the merchant's own check helps
    assert (await merchant.noticed())["total_amount"] != "19.99"


async def test_the_parameters_of_the_way_back_are_verified_by_the_library(merchant: Merchant) -> None:
    number, _ = await merchant.open()
    pressed = await merchant.browser.post(f"{merchant.sandbox_url}/alipay/cashier/{number}/pay")
    query = pressed.headers["location"].partition("?x=1&")[2]
    about = {"charset": "utf-8", "public_key": merchant.account.alipay_public}
    told = await merchant.ask("alipay.check", kind="notice", form=query, **about)
    assert (told["valid"], told["fields"]["out_trade_no"]) == (True, number)
    told = await merchant.ask("alipay.check", kind="notice", form=query.replace("19.99", "19.98"), **about)
    assert not told["valid"]


@in_each_charset
@in_each_mode
async def test_a_query_and_a_close_are_answered(merchant: Merchant, charset: str, mode: str) -> None:
    await speaking(merchant, charset, mode)
    number, _ = await merchant.open()
    assert (await merchant.call(QUERY, out_trade_no=number))["read"]["subCode"] == "ACQ.TRADE_NOT_EXIST"
    assert (await merchant.call(CLOSE, out_trade_no=number))["read"]["subCode"] == "ACQ.TRADE_NOT_EXIST"
    await merchant.act(number, "scan")
    waiting = await merchant.call(QUERY, out_trade_no=number)
    assert (waiting["success"], waiting["read"]["tradeStatus"]) == (True, "WAIT_BUYER_PAY")
    closed = await merchant.call(CLOSE, out_trade_no=number)
    assert (closed["success"], closed["read"]["outTradeNo"]) == (True, number)
    assert (await merchant.call(QUERY, out_trade_no=number))["read"]["tradeStatus"] == "TRADE_CLOSED"
    paid = await merchant.paid()
    answer = await merchant.call(QUERY, out_trade_no=paid)
    read = answer["read"]
    assert (read["tradeStatus"], read["totalAmount"]) == ("TRADE_SUCCESS", "19.99")
    assert read["buyerLogonId"].startswith("*小明"), "read in the charset of the call"
    assert (await merchant.call(QUERY, trade_no=read["tradeNo"]))["read"]["outTradeNo"] == paid
    assert (await merchant.call(CLOSE, out_trade_no=paid))["read"]["code"] == "40004"


@awkward_in_each_charset
@in_each_mode
async def test_a_refund_is_made_once_and_found(
    merchant: Merchant, charset: str, name: str, mode: str
) -> None:
    await speaking(merchant, charset, mode)
    number = await merchant.paid()
    wanted = {"out_trade_no": number, "out_request_no": f"R{number}", "refund_amount": "5.00"}
    first = await merchant.call(REFUND, **wanted, refund_reason=TEXTS[name])
    assert (first["success"], first["read"]["fundChange"], first["read"]["refundFee"]) == (True, "Y", "5.00")
    again = await merchant.call(REFUND, **wanted, refund_reason=TEXTS[name])
    assert (again["success"], again["read"]["fundChange"]) == (True, "N")
    found = await merchant.call(REFUND_QUERY, out_trade_no=number, out_request_no=f"R{number}")
    assert (found["read"]["refundStatus"], found["read"]["refundAmount"]) == ("REFUND_SUCCESS", "5.00")
    none = await merchant.call(REFUND_QUERY, out_trade_no=number, out_request_no=f"R{number}x")
    assert (none["success"], none["read"]["refundStatus"]) == (True, None)
    more = {**wanted, "out_request_no": f"R{number}_2", "refund_amount": "15.00"}
    assert (await merchant.call(REFUND, **more))["read"]["code"] == "40004", "more than was paid"


@awkward_in_each_charset
@in_each_mode
async def test_a_code_is_given_scanned_and_paid(
    merchant: Merchant, charset: str, name: str, mode: str
) -> None:
    await speaking(merchant, charset, mode)
    number, wanted = merchant.order(PRECREATE, body=TEXTS[name])
    url = f"{merchant.notified.url}/notify"
    answer = await merchant.do("alipay.call", PRECREATE, wanted, notify_url=url)
    assert (answer["success"], answer["read"]["outTradeNo"]) == (True, number), answer
    assert (await merchant.call(QUERY, out_trade_no=number))["read"]["subCode"] == "ACQ.TRADE_NOT_EXIST"
    await merchant.browser.get(answer["read"]["qrCode"])
    assert (await merchant.call(QUERY, out_trade_no=number))["read"]["tradeStatus"] == "WAIT_BUYER_PAY"
    await merchant.act(number, "pay")
    assert (await merchant.noticed()).get("body", "") == TEXTS[name]


@in_each_charset
@in_each_mode
async def test_a_bill_is_offered_and_downloaded(merchant: Merchant, charset: str, mode: str) -> None:
    await speaking(merchant, charset, mode)
    await merchant.paid()
    day = datetime.now(CHINA).date().isoformat()
    planted = await merchant.browser.post(
        f"{merchant.sandbox_url}/alipay/sim/bills/{day}", json={"out": True}
    )
    assert planted.status_code == 200
    answer = await merchant.call(BILL, bill_type="trade", bill_date=day)
    assert answer["success"], answer
    file = await merchant.browser.get(answer["read"]["billDownloadUrl"])
    names = zipfile.ZipFile(io.BytesIO(file.content)).namelist()
    assert file.status_code == 200
    assert names


@pytest.mark.parametrize("method", [PAGE, WAP, APP])
async def test_another_key_is_refused(merchant: Merchant, method: str, tmp_path: Path) -> None:
    await asyncio.to_thread(ensure_keys, tmp_path)
    own, merchant.account = merchant.account, AlipayAccount(tmp_path)
    _, page = await merchant.open(method)
    assert (page.status_code, page.headers["x-alipay-sub-code"]) == (400, "isv.invalid-signature")
    merchant.account = own
    _, page = await merchant.open(method)
    assert page.status_code == 200


async def test_in_certificate_mode_another_merchants_certificate_is_refused(
    merchant: Merchant, tmp_path: Path
) -> None:
    await asyncio.to_thread(ensure_keys, tmp_path)
    merchant.mode, merchant.account = "certificates", AlipayAccount(tmp_path)
    _, page = await merchant.open()
    assert (page.status_code, page.headers["x-alipay-sub-code"]) == (400, "isv.invalid-cert-sn")


async def test_the_library_follows_alipays_new_certificate(
    merchant: Merchant, keys_dir: Path, tmp_path: Path
) -> None:
    settings = SandboxSettings(
        grpc_port=0, http_port=0, data_dir=tmp_path, keys_dir=keys_dir, order="127.0.0.1:1"
    )
    async with Sandbox(settings, order_token=lambda: "none") as other:
        merchant.mode, merchant.sandbox_url = "certificates", f"http://127.0.0.1:{other.http_port}"
        number = await merchant.paid()
        for _ in range(2):
            answer = await merchant.call(QUERY, out_trade_no=number)
            assert answer["read"]["tradeStatus"] == "TRADE_SUCCESS"
            renewed = await merchant.browser.post(f"{merchant.sandbox_url}/alipay/sim/certificate")
            assert renewed.status_code == 200
        answer = await merchant.call(REFUND, out_trade_no=number, out_request_no="R1", refund_amount="1.00")
        assert answer["read"]["fundChange"] == "Y"
