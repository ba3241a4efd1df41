"""WeChat Pay's own library against our simulator: its requests are taken, our answers and notices verify."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from shop_sandbox.payments.formats import CHINA
from shop_sandbox.server import Sandbox
from shop_sandbox.wechat.keys import MCH_ID
from tests.providers.accounts import WechatAccount
from tests.providers.awkward import TEXTS, awkward_name, long
from tests.providers.conftest import Ask
from tests.providers.library import Refused
from tests.providers.partners import Recorder
from tests.providers.wechat_merchant import APP_IDS, MODES, Merchant


@pytest_asyncio.fixture(loop_scope="session", params=MODES)
async def merchant(
    request: pytest.FixtureRequest,
    ask: Ask,
    browser: httpx.AsyncClient,
    sandbox: Sandbox,
    keys_dir: Path,
    notified: Recorder,
) -> AsyncIterator[Merchant]:
    base = f"http://127.0.0.1:{sandbox.http_port}"
    yield Merchant(ask, browser, base, WechatAccount(keys_dir), notified, request.param)


def is_taken(text: str) -> bool:
    """WeChat takes texts of characters with up to three bytes in UTF-8, and no empty ones."""
    return bool(text) and max(text) <= "\uffff"


@awkward_name
async def test_what_the_library_sends_comes_back_in_answers_and_notices(
    merchant: Merchant, name: str
) -> None:
    content = {"description": TEXTS[name], "attach": TEXTS[name]}
    if not is_taken(TEXTS[name]):
        with pytest.raises(Refused, match="PARAM_ERROR"):
            await merchant.open(**content)
        return
    number, _ = await merchant.open(**content)
    assert (await merchant.query(number))["attach"] == TEXTS[name]
    await merchant.act(number, "pay")
    notice = await merchant.read(merchant.notified.last())
    assert (notice["out_trade_no"], notice["attach"]) == (number, TEXTS[name])
    assert (notice["trade_state"], notice["amount"]["total"]) == ("SUCCESS", 1999)


async def test_a_text_as_long_as_allowed_comes_back_and_a_longer_one_is_refused(merchant: Merchant) -> None:
    number, _ = await merchant.open(description=long(127), attach=long(128))
    assert (await merchant.query(number))["attach"] == long(128)
    for content in ({"description": long(128)}, {"attach": long(129)}):
        with pytest.raises(Refused, match="PARAM_ERROR"):
            await merchant.open(**content)


@pytest.mark.parametrize("kind", APP_IDS)
async def test_every_kind_of_order_is_opened(merchant: Merchant, kind: str) -> None:
    number, opened = await merchant.open(kind)
    how = {"native": "code_url", "h5": "h5_url", "app": "prepayid"}.get(kind, "package")
    assert opened.get(how), opened
    await merchant.act(number, "pay")
    found = await merchant.query(number)
    types = {"native": "NATIVE", "h5": "MWEB", "app": "APP"}
    assert (found["trade_type"], found["appid"]) == (types.get(kind, "JSAPI"), APP_IDS[kind])
    assert await merchant.read(merchant.notified.last()) == {**found, "promotion_detail": None}


@pytest.mark.parametrize("kind", ["jsapi", "mini", "app"])
async def test_the_buyers_wechat_takes_what_the_library_signed(merchant: Merchant, kind: str) -> None:
    number, opened = await merchant.open(kind)
    call = f"{merchant.sandbox_url}/wechat/{'app' if kind == 'app' else 'jsapi'}"
    told = dict(opened)
    for name in told:
        refused = await merchant.browser.post(call, json={**told, name: told[name][::-1]})
        assert refused.status_code in (400, 401, 404), name
    assert (await merchant.browser.post(call, json=told)).status_code == 200
    assert (await merchant.browser.post(f"{call}/pay", json=told)).status_code == 200
    assert (await merchant.query(number))["trade_state"] == "SUCCESS"


@pytest.mark.parametrize("packed", [{}, {"tar_type": "GZIP"}])
async def test_a_bill_is_downloaded_with_the_hash_that_was_announced(
    merchant: Merchant, packed: dict[str, str]
) -> None:
    number = await merchant.paid(description="耳机（白色）")
    day = datetime.now(CHINA).date().isoformat()
    planted = await merchant.browser.post(
        f"{merchant.sandbox_url}/wechat/sim/bills/{day}", json={"out": True}
    )
    assert planted.status_code == 200
    bill = await merchant.do("bill", {"bill_date": day, "bill_type": "ALL", **packed})
    assert bill["hash_is_right"]
    assert number in bill["text"]
    assert "耳机（白色）" in bill["text"]


async def test_a_query_and_a_close_are_answered(merchant: Merchant) -> None:
    with pytest.raises(Refused, match="ORDER_NOT_EXIST"):
        await merchant.query("P0000000000x")
    number, _ = await merchant.open()
    assert (await merchant.query(number))["trade_state"] == "NOTPAY"
    wanted = {"mchid": MCH_ID, "out_trade_no": number}
    assert await merchant.do("close", wanted) == "closed"
    assert (await merchant.query(number))["trade_state"] == "CLOSED"
    paid = await merchant.paid()
    found = await merchant.query(paid)
    assert (found["trade_state"], found["amount"]["payer_total"]) == ("SUCCESS", 1999)
    by_id = {"mchid": MCH_ID, "transaction_id": found["transaction_id"]}
    assert await merchant.do("query_by_id", by_id) == found
    with pytest.raises(Refused, match="ORDERPAID"):
        await merchant.do("close", {"mchid": MCH_ID, "out_trade_no": paid})


@awkward_name
async def test_a_refund_is_made_once_found_and_told(merchant: Merchant, name: str) -> None:
    number = await merchant.paid()
    wanted = {
        "out_trade_no": number,
        "out_refund_no": f"R{number}",
        "reason": TEXTS[name],
        "notify_url": f"{merchant.notified.url}/notify",
        "amount": {"refund": 500, "total": 1999, "currency": "CNY"},
    }
    if not is_taken(TEXTS[name]):
        with pytest.raises(Refused, match="PARAM_ERROR"):
            await merchant.do("refund", wanted)
        return
    first = await merchant.do("refund", wanted)
    assert (first["status"], first["amount"]["refund"]) == ("PROCESSING", 500)
    assert (await merchant.do("refund", wanted))["refund_id"] == first["refund_id"]
    await merchant.act(number, "end_refund_success")
    found = await merchant.do("query_refund", {"out_refund_no": f"R{number}"})
    assert (found["status"], found["refund_id"]) == ("SUCCESS", first["refund_id"])
    told = await merchant.read(merchant.notified.last(), "refund")
    assert (told["out_refund_no"], told["refund_status"]) == (f"R{number}", "SUCCESS")
    assert (await merchant.query(number))["trade_state"] == "REFUND"


@pytest.mark.parametrize("fate", ["closed", "abnormal"])
async def test_a_refund_that_does_not_succeed_is_told(merchant: Merchant, fate: str) -> None:
    number = await merchant.paid()
    wanted = {
        "out_trade_no": number,
        "out_refund_no": f"R{number}",
        "notify_url": f"{merchant.notified.url}/notify",
        "amount": {"refund": 1999, "total": 1999, "currency": "CNY"},
    }
    await merchant.do("refund", wanted)
    await merchant.act(number, f"end_refund_{fate}")
    assert (await merchant.do("query_refund", {"out_refund_no": f"R{number}"}))["status"] == fate.upper()
    told = await merchant.read(merchant.notified.last(), "refund")
    assert told["refund_status"] == fate.upper()


@pytest.mark.parametrize("action", ["probe", "forge_sign", "forge_tag"])
async def test_the_library_refuses_a_forged_notice(merchant: Merchant, action: str) -> None:
    number = await merchant.paid()
    await merchant.act(number, action)
    with pytest.raises(Refused):
        await merchant.read(merchant.notified.last())
    await merchant.act(number, "notify_again")
    assert (await merchant.read(merchant.notified.last()))["out_trade_no"] == number


async def test_the_certificates_are_listed(merchant: Merchant) -> None:
    assert await merchant.do("certificates") == (await merchant.platform())["certificates"]


async def test_after_a_rotation_the_library_verifies_again_once_it_fetched_the_new_certificate(
    merchant: Merchant,
) -> None:
    number = await merchant.paid()
    await merchant.platform(certificates="rotate")
    if merchant.mode == "certificates":
        with pytest.raises(Refused, match="ValidationException"):
            await merchant.query(number)
    else:
        assert (await merchant.query(number))["trade_state"] == "SUCCESS"
    await merchant.fetch_certificates()
    assert (await merchant.query(number))["trade_state"] == "SUCCESS"
    await merchant.platform(notices="certificate")
    await merchant.act(number, "notify_again")
    await merchant.platform(notices="request")
    assert (await merchant.read(merchant.notified.last()))["out_trade_no"] == number


@pytest.mark.parametrize("signer", MODES)
async def test_a_notice_signed_in_the_other_mode_is_refused(merchant: Merchant, signer: str) -> None:
    await merchant.platform(notices="certificate" if signer == "certificates" else "public_key")
    await merchant.paid()
    await merchant.platform(notices="request")
    if signer == merchant.mode:
        assert (await merchant.read(merchant.notified.last()))["trade_state"] == "SUCCESS"
    else:
        with pytest.raises(Refused, match="ValidationException"):
            await merchant.read(merchant.notified.last())
