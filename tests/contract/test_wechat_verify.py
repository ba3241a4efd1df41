"""WeChat Pay's notice is believed only if it is signed, in time, encrypted for us, whole and about us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shop_order.domain.errors import (
    AmountMismatch,
    BodyTooLarge,
    ChannelUnavailable,
    DeadlineExceeded,
    DependencyDown,
    Forbidden,
    InvalidArgument,
    SignatureInvalid,
)
from shop_order.domain.ports import Notice, NoticeReply, Trade, TradeState
from shop_order.gateway.payment.wechat.notice import reply
from tests.world.wechat import API_V3_KEY, NOW_MS, WechatWorld, a_trade, notice, signed_headers, wechat

PAYMENT_SN, REFUND_SN = "P261121080000000000000000001", "R261121080000000000000000001"
PAID_MS = 1_795_262_400_000
PAID = Notice(PAYMENT_SN, Trade(TradeState.PAID, f"T{PAYMENT_SN}", 1999, PAID_MS))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WechatWorld]:
    async with wechat(tmp_path) as found:
        yield found


def tell(world: WechatWorld, body: bytes, **signing: Any) -> Notice:
    return world.channel.verify(body, signed_headers(body, **signing))


async def test_a_payment_is_told(world: WechatWorld) -> None:
    assert tell(world, notice(a_trade(PAYMENT_SN))) == PAID


async def test_unknown_members_are_ignored(world: WechatWorld) -> None:
    more = {"promotion_detail": [{"amount": -1}], "scene_info": None, "trade_type": 5, "新": "🍎"}
    envelope = json.loads(notice(a_trade(PAYMENT_SN, **more))) | {"summary": "支付成功", "x": {"y": [1]}}
    assert tell(world, json.dumps(envelope).encode()) == PAID


@pytest.mark.parametrize("about", ["", "transaction", "退款"])
async def test_the_associated_data_may_be_empty(world: WechatWorld, about: str) -> None:
    assert tell(world, notice(a_trade(PAYMENT_SN), about=about)) == PAID


async def test_missing_associated_data_is_empty(world: WechatWorld) -> None:
    envelope = json.loads(notice(a_trade(PAYMENT_SN), about=""))
    for absent in ({}, {"associated_data": None}):
        resource = {k: v for k, v in envelope["resource"].items() if k != "associated_data"} | absent
        assert tell(world, json.dumps(envelope | {"resource": resource}).encode()) == PAID


@pytest.mark.parametrize("event", ["REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"])
async def test_a_refund_is_told_by_its_number(world: WechatWorld, event: str) -> None:
    plain = {
        "mchid": "1900000109",
        "out_trade_no": PAYMENT_SN,
        "transaction_id": f"T{PAYMENT_SN}",
        "out_refund_no": REFUND_SN,
        "refund_id": "503",
        "refund_status": "SUCCESS",
        "trade_state": "SUCCESS",  # a refund is never a payment
        "success_time": "2026-11-21T20:00:00+08:00",
        "amount": {"total": 1999, "refund": 1999, "payer_total": 1999, "payer_refund": 1999},
    }
    told = tell(world, notice(plain, event))
    assert told == Notice(PAYMENT_SN, Trade(TradeState.UNKNOWN), is_refund=True, out_refund_no=REFUND_SN)
    for wrong, what in (
        ({"mchid": "1"}, "mchid"),
        ({"out_refund_no": "R\n"}, "out_refund_no"),
        ({"out_refund_no": "R" * 65}, "out_refund_no"),
        ({"amount": {"refund": -1}}, "refund"),
        ({"success_time": "1999-01-01T00:00:00+08:00"}, "success_time"),
    ):
        with pytest.raises(AmountMismatch) as refused:
            tell(world, notice(plain | wrong, event))
        assert refused.value.details == {"what": what}


@pytest.mark.parametrize("offset_ms", [-300_000, 300_000, -(10**9), 10**12])
async def test_a_timestamp_outside_the_window_is_refused(world: WechatWorld, offset_ms: int) -> None:
    with pytest.raises(SignatureInvalid):
        tell(world, notice(a_trade(PAYMENT_SN)), at_ms=NOW_MS + offset_ms)


@pytest.mark.parametrize("offset_ms", [-299_000, 299_000])
async def test_a_timestamp_inside_the_window_is_taken(world: WechatWorld, offset_ms: int) -> None:
    assert tell(world, notice(a_trade(PAYMENT_SN)), at_ms=NOW_MS + offset_ms) == PAID


@pytest.mark.parametrize(
    "changed",
    [
        {"wechatpay-signature": "WECHATPAY/SIGNTEST/AAAA"},  # WeChat's own probe
        {"wechatpay-signature": ""},
        {"wechatpay-signature": "!"},
        {"wechatpay-nonce": "another"},
        {"wechatpay-nonce": ""},
        {"wechatpay-timestamp": "1796000001"},
        {"wechatpay-timestamp": "１７９６００００００"},
        {"wechatpay-timestamp": "1796000000.0"},
        {"wechatpay-timestamp": "9" * 400},
        {"wechatpay-serial": "PUB_KEY_ID_0"},
        {"wechatpay-serial": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"},
        {"wechatpay-serial": ""},
    ],
)
async def test_headers_that_do_not_fit_are_a_forgery(world: WechatWorld, changed: dict[str, str]) -> None:
    body = notice(a_trade(PAYMENT_SN))
    with pytest.raises(SignatureInvalid):
        world.channel.verify(body, signed_headers(body) | changed)


async def test_without_headers_it_is_a_forgery(world: WechatWorld) -> None:
    with pytest.raises(SignatureInvalid):
        world.channel.verify(notice(a_trade(PAYMENT_SN)), {})


async def test_what_our_key_does_not_open_is_a_mismatch(world: WechatWorld) -> None:
    foreign = notice(a_trade(PAYMENT_SN), api_v3_key=bytes(reversed(API_V3_KEY)))
    cut, other = json.loads(notice(a_trade(PAYMENT_SN))), json.loads(notice(a_trade(PAYMENT_SN)))
    cut["resource"]["ciphertext"] = cut["resource"]["ciphertext"][:-8]
    other["resource"]["algorithm"] = "AEAD_SM4_GCM"
    rest = [
        {"nonce": ""},
        {"nonce": 5},
        {"ciphertext": "?"},
        {"ciphertext": None},
        {"associated_data": ["x"]},
    ]
    whole = json.loads(notice(a_trade(PAYMENT_SN)))
    bodies = [
        foreign,
        *(json.dumps(one).encode() for one in (cut, other, {"event_type": "TRANSACTION.SUCCESS"})),
    ]
    bodies += [json.dumps(whole | {"resource": whole["resource"] | one}).encode() for one in rest]
    for body in bodies:
        with pytest.raises(AmountMismatch) as refused:
            tell(world, body)
        assert refused.value.details == {"what": "resource"}


@pytest.mark.parametrize("plain", [b"", b"[]", b"{", b"\xff", b'{"mchid":"1900000109","mchid":"1900000109"}'])
async def test_an_unreadable_plaintext_is_a_mismatch(world: WechatWorld, plain: bytes) -> None:
    with pytest.raises(AmountMismatch):
        tell(world, notice(plain))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"id":"1","id":"2"}', "苹果".encode("gbk"), b"[" * 60_000]
)
async def test_a_signed_body_that_is_no_object_is_malformed(world: WechatWorld, body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        tell(world, body)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"mchid": "1900000001"}, "mchid"),
        ({"appid": "wx9"}, "appid"),
        ({"appid": ["wx1"]}, "appid"),
        ({"out_trade_no": ""}, "out_trade_no"),
        ({"out_trade_no": "P1"}, "out_trade_no"),
        ({"out_trade_no": "P" * 33}, "out_trade_no"),
        ({"out_trade_no": "P2611\r\nfake log line"}, "out_trade_no"),
        ({"out_trade_no": "Ｐ26112108"}, "out_trade_no"),
        ({"amount": {"total": 1999, "currency": "HKD"}}, "currency"),
        ({"amount": {"total": -1999, "currency": "CNY"}}, "total"),
        ({"amount": {"total": 1e3, "currency": "CNY"}}, "total"),
        ({"success_time": "1999-12-31T00:00:00+08:00"}, "success_time"),
        ({"success_time": "2101-01-01T00:00:00+08:00"}, "success_time"),
        ({"transaction_id": "T" * 65}, "trade_no"),
        ({"transaction_id": "流水"}, "trade_no"),
    ],
)
async def test_what_is_not_ours_or_out_of_bounds_is_a_mismatch(
    world: WechatWorld, changed: dict[str, Any], what: str
) -> None:
    with pytest.raises(AmountMismatch) as refused:
        tell(world, notice(a_trade(PAYMENT_SN, **changed)))
    assert refused.value.details == {"what": what}


async def test_an_event_that_nobody_asked_for_is_a_mismatch(world: WechatWorld) -> None:
    with pytest.raises(AmountMismatch) as refused:
        tell(world, notice(a_trade(PAYMENT_SN), "COUPON.USE"))
    assert refused.value.details == {"what": "event_type"}


async def test_a_notice_of_a_closed_trade_tells_so(world: WechatWorld) -> None:
    told = tell(world, notice(a_trade(PAYMENT_SN, trade_state="CLOSED")))
    assert told.trade == Trade(TradeState.CLOSED)


async def test_without_key_files_wechat_sends_it_again(world: WechatWorld, tmp_path: Path) -> None:
    (tmp_path / "v3.txt").unlink()
    assert not world.channel.available()
    with pytest.raises(ChannelUnavailable):
        tell(world, notice(a_trade(PAYMENT_SN)))
    (tmp_path / "v3.txt").write_bytes(API_V3_KEY)
    assert tell(world, notice(a_trade(PAYMENT_SN))) == PAID


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SignatureInvalid("notice"), 401),
        (InvalidArgument("body", "invalid_json"), 400),
        (AmountMismatch("total"), 409),
        (Forbidden(), 403),
        (BodyTooLarge(), 413),
        (ChannelUnavailable("wechat"), 503),
        (DependencyDown("order_database"), 503),
        (DeadlineExceeded(), 504),
        (RuntimeError(), 500),
    ],
)
async def test_a_refused_notice_is_answered_as_wechat_expects(error: Exception, status: int) -> None:
    body = '{"code": "FAIL", "message": "失败"}'
    assert reply(error) == NoticeReply(status, body, "application/json")


async def test_a_handled_notice_is_answered_with_nothing() -> None:
    assert reply(None) == NoticeReply(204)
