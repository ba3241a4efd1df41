"""WeChat Pay's notices: encrypted, signed, repeated until 200 or 204, over restarts; probes and forgeries."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from shop_sandbox.wechat.notices import RETRY_AFTER_S
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.wechat_merchant import (
    NATIVE,
    ORDER_SN,
    PUBLIC_KEY_ID,
    WechatMerchant,
    wechat_merchant_of,
)
from tests.shop import wechat_pay


async def until(is_so: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - the condition lies in another part, which tells nobody
            await asyncio.sleep(0.01)


async def test_a_payment_is_told_with_all_it_needs(wechat: WechatMerchant) -> None:
    await wechat.open()
    state = (await wechat.act("pay")).json()
    (told,) = wechat.told
    assert told.genuine
    assert told.envelope["event_type"] == "TRANSACTION.SUCCESS"
    assert told.envelope["resource_type"] == "encrypt-resource"
    assert told.resource == {
        "appid": "wx0000000000000001",
        "mchid": "1900000001",
        "out_trade_no": "P000001",
        "transaction_id": state["transaction_id"],
        "trade_type": "NATIVE",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": ORDER_SN,
        "success_time": told.resource["success_time"],
        "payer": {"openid": state["openid"]},
        "amount": {"total": 1999, "payer_total": 1999, "currency": "CNY", "payer_currency": "CNY"},
    }


async def test_some_notices_have_no_associated_data(wechat: WechatMerchant) -> None:
    await wechat.open()
    await wechat.act("pay")
    for _ in range(40):
        await wechat.act("old_notice")
    assert {one.envelope["resource"]["associated_data"] for one in wechat.told} == {"", "transaction"}
    assert all(one.genuine and one.resource for one in wechat.told)
    assert len({one.envelope["id"] for one in wechat.told}) == 41


@pytest.mark.parametrize("thanks", [200, 204])
async def test_a_notice_comes_again_until_200_or_204(wechat: WechatMerchant, thanks: int) -> None:
    wechat.answers = [500, 401, 202, 301, thanks]
    await wechat.open()
    await wechat.act("pay")
    await until(lambda: len(wechat.told) == 5)
    await asyncio.sleep(0.2)
    assert len(wechat.told) == 5, "nothing after the thanks"
    assert len({one.envelope["id"] for one in wechat.told}) == 1
    assert all(one.genuine for one in wechat.told)


async def test_the_schedule_is_the_providers(wechat: WechatMerchant, sandbox: Sandbox, clock: Clock) -> None:
    minutes = [wait_s / 60 for wait_s in RETRY_AFTER_S]
    assert minutes == [0.25, 0.25, 0.5, 3, 10, 20, 30, 30, 30, 60, 180, 180, 180, 360, 360]
    wechat.answers = [500] * 99
    await wechat.open()
    await wechat.act("pay")
    for sent in range(2, 17):
        clock.ahead_ms += 21_600_000
        await until(lambda wanted=sent: len(wechat.told) >= wanted)  # type: ignore[misc]
    clock.ahead_ms += 216_000_000
    await asyncio.sleep(0.2)
    assert len(wechat.told) == 16, "after the sixteenth the provider gives up"
    assert (await wechat_pay(sandbox).notices.newest("P000001"))[0].next_ms is None


async def test_pending_notices_survive_a_restart(settings: SandboxSettings) -> None:
    first = Sandbox(settings)
    async with first, wechat_merchant_of(first) as merchant:
        merchant.answers = [500] * 99
        await merchant.open()
        await merchant.act("pay")
        silent = merchant.told[0].envelope["id"]
    second = Sandbox(settings)
    async with second, wechat_merchant_of(second) as merchant:
        move = "UPDATE notice SET url = ?"
        await wechat_pay(second).database.run(lambda one: one.execute(move, (merchant.notify_url,)).rowcount)
        await until(lambda: merchant.told)
        assert merchant.told[0].envelope["id"] == silent
        assert (await merchant.query())["trade_state"] == "SUCCESS"


async def test_a_silent_payment_can_be_told_later_and_twice(wechat: WechatMerchant) -> None:
    await wechat.open()
    assert (await wechat.act("notify_again")).status_code == 404
    await wechat.act("pay", query="?notice=0")
    assert wechat.told == []
    await wechat.act("notify_again")
    await wechat.act("notify_again")
    assert len({one.envelope["id"] for one in wechat.told}) == 1
    assert len(wechat.told) == 2


async def test_forgeries_and_probes_change_nothing_and_come_once(wechat: WechatMerchant) -> None:
    await wechat.open()
    wechat.answers = [401] * 9
    for action in ("forge_sign", "probe"):
        await wechat.act(action)
        assert not wechat.told[-1].genuine
    assert wechat.told[-1].headers["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/")
    await wechat.act("forge_tag")
    assert (wechat.told[-1].genuine, wechat.told[-1].resource) == (True, {})
    await wechat.act("forge_time")
    assert wechat.told[-1].genuine
    fields: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "forge_amount": lambda one: one["amount"]["total"] == 1,
        "forge_currency": lambda one: one["amount"]["currency"] == "HKD",
        "forge_app": lambda one: one["appid"] == "wx9999999999999999",
        "forge_mchid": lambda one: one["mchid"] == "wx9999999999999999",
    }
    for action, is_wrong in fields.items():
        await wechat.act(action)
        assert wechat.told[-1].genuine
        assert is_wrong(wechat.told[-1].resource), action
    await asyncio.sleep(0.1)
    assert len(wechat.told) == 8, "none came again"
    assert (await wechat.query())["trade_state"] == "NOTPAY"


async def test_probes_come_by_themselves_and_by_the_seed(settings: SandboxSettings, clock: Clock) -> None:
    seen = []
    for folder in ("a", "b"):
        data_dir = settings.data_dir / folder
        chosen = replace(settings, probes=0.3, seed=7, data_dir=data_dir)
        async with Sandbox(chosen, clock_ms=clock) as sandbox, wechat_merchant_of(sandbox) as merchant:
            await merchant.open()
            await merchant.act("pay")
            for _ in range(20):
                await merchant.act("old_notice")
            seen.append([one.genuine for one in merchant.told])
    assert seen[0] == seen[1]
    assert seen[0].count(True) == 21
    assert 2 <= seen[0].count(False) <= 12


async def test_notices_are_signed_by_the_key_that_the_merchant_uses(wechat: WechatMerchant) -> None:
    await wechat.open()
    await wechat.call("POST", NATIVE, wechat.order("P000002"), **{"wechatpay-serial": PUBLIC_KEY_ID})
    await wechat.act("pay")
    await wechat.act("pay", "P000002")
    certificate = wechat.told[0].serial
    assert [one.serial for one in wechat.told] == [certificate, PUBLIC_KEY_ID]
    await wechat.platform(notices="mixed")
    for _ in range(4):
        await wechat.act("notify_again")
    assert {one.serial for one in wechat.told[2:]} == {certificate, PUBLIC_KEY_ID}
    await wechat.platform(notices="public_key")
    await wechat.act("notify_again")
    assert wechat.told[-1].serial == PUBLIC_KEY_ID
    assert all(one.genuine for one in wechat.told)


async def test_paying_twice_pays_another_attempt_of_the_same_order(wechat: WechatMerchant) -> None:
    await wechat.open("P000001")
    await wechat.open("P000002")
    await wechat.open("P000003", attach="9" * 27)
    await wechat.act("pay_twice", "P000001")
    assert [one.resource["out_trade_no"] for one in wechat.told] == ["P000001", "P000002"]
    await wechat.act("pay_twice", "P000003")
    assert len({one.envelope["id"] for one in wechat.told[2:]}) == 1
    assert len(wechat.told) == 4
