"""Platform certificates: fetched when they are needed, verified with themselves, and replaced in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shop_order.domain.errors import ChannelUnavailable, SignatureInvalid
from shop_order.domain.ports import TradeState
from tests.world.wechat import (
    API_V3_KEY,
    NOW_MS,
    WechatWorld,
    a_certificate,
    a_trade,
    certificates,
    notice,
    sealed,
    signed_headers,
    wechat,
)

PAYMENT_SN = "P261121080000000000000000001"
OLD, NEW = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "0FA0"
PATH = "/v3/certificates"
MINUTE_MS, HALF_DAY_MS = 60_000, 12 * 3_600_000
OLD_ONE, NEW_ONE = a_certificate("old", int(OLD, 16)), a_certificate("new", int(NEW, 16))
BODY = notice(a_trade(PAYMENT_SN))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WechatWorld]:
    """Certificate mode; WeChat signs with the old certificate and issues only that one."""
    async with wechat(tmp_path, public_key=None, public_key_id="") as found:
        found.answers = {
            PATH: (200, certificates(**{f"S{OLD}": OLD_ONE})),
            PAYMENT_SN: (200, a_trade(PAYMENT_SN)),
        }
        found.signs = lambda body: signed_headers(body, by="old", serial=OLD, at_ms=found.now_ms)
        yield found


def fetches(world: WechatWorld) -> int:
    return sum(target.endswith(PATH) for _, target, _ in world.asked)


async def tell(world: WechatWorld, by: str = "old", serial: str = OLD) -> bool:
    """Whether a notice is believed at last; WeChat sends it three times."""
    for _ in range(3):
        try:
            world.channel.verify(BODY, signed_headers(BODY, by=by, serial=serial, at_ms=world.now_ms))
        except (SignatureInvalid, ChannelUnavailable):
            await asyncio.sleep(0.05)
        else:
            return True
    return False


async def test_the_first_answer_waits_for_the_certificates(world: WechatWorld) -> None:
    found = await asyncio.gather(*(world.channel.query(PAYMENT_SN) for _ in range(5)))
    assert {trade.state for trade in found} == {TradeState.PAID}
    assert fetches(world) == 1
    assert all("wechatpay-serial" not in headers for headers in world.headers)


async def test_a_notice_before_the_certificates_is_sent_again(world: WechatWorld) -> None:
    assert world.channel.available()
    with pytest.raises(ChannelUnavailable):
        world.channel.verify(BODY, signed_headers(BODY, by="old", serial=OLD))
    assert await tell(world)
    assert fetches(world) == 1


async def test_both_are_taken_around_a_rotation(world: WechatWorld) -> None:
    assert await tell(world)
    world.answers[PATH] = (200, certificates(**{f"S{OLD}": OLD_ONE, f"S{NEW}": NEW_ONE}))
    world.now_ms += MINUTE_MS
    assert await tell(world, "new", NEW)  # an unknown serial fetches them
    assert await tell(world)
    world.signs = lambda body: signed_headers(body, by="new", serial=NEW, at_ms=world.now_ms)
    assert (await world.channel.query(PAYMENT_SN)).state is TradeState.PAID
    assert fetches(world) == 2


async def test_a_withdrawn_one_is_refused_after_the_next_refresh(world: WechatWorld) -> None:
    assert await tell(world)
    world.answers[PATH] = (200, certificates(**{f"S{NEW}": NEW_ONE}))
    world.signs = lambda body: signed_headers(body, by="new", serial=NEW, at_ms=world.now_ms)
    world.now_ms += HALF_DAY_MS
    assert await tell(world)  # once more, while it is refreshed
    await asyncio.sleep(0.1)
    assert not await tell(world)
    assert await tell(world, "new", NEW)


async def test_unknown_serials_cause_one_request_a_minute(world: WechatWorld) -> None:
    assert await tell(world)
    for minute in (1, 2):
        world.now_ms += MINUTE_MS
        for number in range(20):
            assert not await tell(world, "another", f"{number:040X}")
        assert fetches(world) == 1 + minute


async def test_an_expired_one_is_refused(world: WechatWorld) -> None:
    short = a_certificate("old", int(OLD, 16), days=1)
    world.answers[PATH] = (200, certificates(**{f"S{OLD}": short}))
    assert await tell(world)
    world.now_ms += 86_400_000
    assert not await tell(world)


@pytest.mark.parametrize("by", ["another", "new"])
async def test_certificates_that_others_signed_are_not_taken(world: WechatWorld, by: str) -> None:
    world.signs = lambda body: signed_headers(body, by=by, serial=OLD)
    assert (await world.channel.query(PAYMENT_SN)).state is TradeState.UNKNOWN
    assert not await tell(world)
    assert "wechat_no_certificates" in [event for event, _ in world.log]


async def test_what_is_no_list_of_certificates_is_not_taken(world: WechatWorld) -> None:
    [entry] = certificates(**{f"S{OLD}": OLD_ONE})["data"]
    wrong = [
        {},
        {"data": []},
        {"data": [entry] * 17},
        {"data": ["x"]},
        {"data": [{**entry, "serial_no": "1" + OLD}]},
        {"data": [{**entry, "encrypt_certificate": sealed(OLD_ONE, api_v3_key=API_V3_KEY[::-1])}]},
        {"data": [{**entry, "encrypt_certificate": sealed(b"no certificate", "certificate")}]},
        {"data": [{**entry, "encrypt_certificate": None}]},
    ]
    for answer in wrong:
        world.answers[PATH] = (200, answer)
        world.now_ms += MINUTE_MS
        assert not await tell(world)
    world.answers[PATH] = (404, {"code": "RESOURCE_NOT_EXISTS"})
    world.now_ms += MINUTE_MS
    assert not await tell(world)
    assert fetches(world) == len(wrong) + 1


async def test_a_failed_refresh_keeps_what_is_known(world: WechatWorld) -> None:
    assert await tell(world)
    world.answers[PATH] = (500, {"code": "SYSTEM_ERROR"})
    world.now_ms += HALF_DAY_MS
    assert await tell(world)
    await asyncio.sleep(0.1)
    assert await tell(world)


async def test_closing_ends_the_refresh(world: WechatWorld) -> None:
    world.pause_s = 30
    waiting = asyncio.create_task(world.channel.query(PAYMENT_SN))
    await asyncio.sleep(0.05)
    with pytest.raises(ChannelUnavailable):
        world.channel.verify(BODY, signed_headers(BODY, by="old", serial=OLD))
    await asyncio.sleep(0.05)
    assert fetches(world) == 1
    await world.channel.aclose()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "_refresh" in repr(task)]


async def test_in_public_key_mode_certificates_still_count_while_wechat_switches(tmp_path: Path) -> None:
    async with wechat(tmp_path) as world:
        world.answers = {PATH: (200, certificates(**{f"S{OLD}": OLD_ONE}))}
        assert await tell(world, "wechat", "PUB_KEY_ID_0119000001092024")
        assert fetches(world) == 0
        with pytest.raises(SignatureInvalid):
            world.channel.verify(BODY, signed_headers(BODY, by="old", serial=OLD, at_ms=NOW_MS))
        assert await tell(world)
        assert fetches(world) == 1
