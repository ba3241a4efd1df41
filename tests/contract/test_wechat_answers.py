"""What WeChat Pay may answer: believed only if it is signed, whole, in time and about our trade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import RefundResult, Trade, TradeState
from shop_order.domain.status import PaymentType
from tests.world import wechat as their
from tests.world.provider import a_refund, an_attempt
from tests.world.wechat import NOW_MS, WechatWorld, a_trade, signed_headers, wechat

PAYMENT_SN, REFUND_SN = "P261121080000000000000000001", "R261121080000000000000000001"
PAID_MS = 1_795_262_400_000
PAYMENT = an_attempt(PAYMENT_SN, payment_type=PaymentType.WECHAT, trade_type="native", paid_ms=PAID_MS)
REFUND = a_refund(PAYMENT, REFUND_SN)
UNKNOWN = Trade(TradeState.UNKNOWN)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WechatWorld]:
    async with wechat(tmp_path) as found:
        yield found


async def query(world: WechatWorld, status: int = 200, **changed: Any) -> Trade:
    world.answers = {PAYMENT_SN: (status, a_trade(PAYMENT_SN, **changed))}
    return await world.channel.query(PAYMENT_SN)


async def test_a_paid_trade_is_found(world: WechatWorld) -> None:
    assert await query(world) == Trade(TradeState.PAID, f"T{PAYMENT_SN}", 1999, PAID_MS)
    target = f"/base/v3/pay/transactions/out-trade-no/{PAYMENT_SN}?mchid=1900000109"
    assert world.asked == [("GET", target, {})]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("REFUND", TradeState.PAID),
        ("NOTPAY", TradeState.WAITING),
        ("USERPAYING", TradeState.WAITING),
        ("CLOSED", TradeState.CLOSED),
        ("REVOKED", TradeState.CLOSED),
        ("SOMETHING", TradeState.UNKNOWN),
        (None, TradeState.UNKNOWN),
    ],
)
async def test_each_state_has_its_meaning(world: WechatWorld, state: str | None, found: TradeState) -> None:
    assert (await query(world, trade_state=state)).state is found


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"mchid": "1900000001"}, "mchid"),
        ({"out_trade_no": "P2"}, "out_trade_no"),
        ({"amount": {"total": 1999, "currency": "USD"}}, "currency"),
        ({"amount": {"total": 1999}}, "currency"),
        ({"amount": {"total": 19.99, "currency": "CNY"}}, "total"),
        ({"amount": {"total": True, "currency": "CNY"}}, "total"),
        ({"amount": {"total": "1999", "currency": "CNY"}}, "total"),
        ({"amount": {"total": 0, "currency": "CNY"}}, "total"),
        ({"amount": {"total": 10**11, "currency": "CNY"}}, "total"),
        ({"amount": {"total": 1999, "payer_total": -1, "currency": "CNY"}}, "payer_total"),
        ({"amount": [1999]}, "currency"),
        ({"success_time": "1999-12-31T23:59:59+08:00"}, "success_time"),
        ({"success_time": "2101-01-01T00:00:00+08:00"}, "success_time"),
        ({"success_time": "2026-11-21 20:00:00"}, "success_time"),
        ({"success_time": "2026-11-31T20:00:00+08:00"}, "success_time"),
        ({"success_time": 1796000000}, "success_time"),
        ({"transaction_id": ""}, "trade_no"),
        ({"transaction_id": "T" * 65}, "trade_no"),
        ({"transaction_id": "T\x1b[2J"}, "trade_no"),
    ],
)
async def test_what_is_out_of_bounds_is_a_mismatch(
    world: WechatWorld, changed: dict[str, Any], what: str
) -> None:
    with pytest.raises(AmountMismatch) as wrong:
        await query(world, **changed)
    assert wrong.value.details == {"what": what}


@pytest.mark.parametrize("code", ["ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"])
async def test_a_trade_that_was_never_opened_is_absent(world: WechatWorld, code: str) -> None:
    world.answers = {PAYMENT_SN: (404, {"code": code, "message": "订单不存在"})}
    assert await world.channel.query(PAYMENT_SN) == Trade(TradeState.ABSENT)


async def test_closing_is_believed_only_if_it_is_signed(world: WechatWorld) -> None:
    world.answers = {"/close": (204, b"")}
    assert await world.channel.close(PAYMENT_SN) == Trade(TradeState.CLOSED)
    method, target, sent = world.asked[0]
    assert (method, target.rpartition("/")[2], sent) == ("POST", "close", {"mchid": "1900000109"})
    world.signs = lambda body: signed_headers(body, by="another")
    assert await world.channel.close(PAYMENT_SN) == UNKNOWN


async def test_a_paid_trade_is_not_closed(world: WechatWorld) -> None:
    world.answers = {
        "/close": (400, {"code": "ORDERPAID", "message": "该订单已支付"}),
        PAYMENT_SN: (200, a_trade(PAYMENT_SN)),
    }
    assert (await world.channel.close(PAYMENT_SN)).state is TradeState.PAID


async def test_a_forged_absence_is_not_believed(world: WechatWorld) -> None:
    world.answers = {PAYMENT_SN: (404, {"code": "ORDER_NOT_EXIST", "message": ""})}
    world.signs = lambda body: signed_headers(body, by="another")
    assert await world.channel.query(PAYMENT_SN) == UNKNOWN


@pytest.mark.parametrize(
    "signing",
    [
        {"by": "another"},
        {"serial": "7132D72A03E93CDDF8C03BBD1F37EEDF00000000"},
        {"serial": "PUB_KEY_ID_0"},
        {"at_ms": NOW_MS - 300_000},
        {"at_ms": NOW_MS + 300_000},
    ],
)
async def test_an_answer_that_is_not_wechats_leaves_everything_unknown(
    world: WechatWorld, signing: dict[str, Any]
) -> None:
    world.signs = lambda body: signed_headers(body, **signing)
    assert await query(world) == UNKNOWN


@pytest.mark.parametrize("name", ["serial", "timestamp", "nonce", "signature"])
async def test_an_answer_without_a_header_is_no_answer(world: WechatWorld, name: str) -> None:
    def signs(body: bytes) -> dict[str, str]:
        headers = signed_headers(body)
        del headers[f"wechatpay-{name}"]
        return headers

    world.signs = signs
    assert await query(world) == UNKNOWN


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"x"', b'{"a":1,"a":2}', b"\xff\xfe", b"[" * 100_000]
)
async def test_what_is_no_object_is_no_answer(world: WechatWorld, body: bytes) -> None:
    world.answers = {PAYMENT_SN: (200, body), "/refunds": (200, body)}
    assert await world.channel.query(PAYMENT_SN) == UNKNOWN
    assert await world.channel.refund(PAYMENT, REFUND) is RefundResult.UNKNOWN


async def test_a_slow_answer_is_no_answer(world: WechatWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert their.TIMEOUT_S == 2.0
    monkeypatch.setattr(their, "TIMEOUT_S", 0.05)
    world.pause_s = 1.0
    assert await query(world) == UNKNOWN


async def test_a_huge_answer_is_no_answer(world: WechatWorld) -> None:
    world.answers = {PAYMENT_SN: (200, b" " * (256 * 1024 + 1))}
    assert await world.channel.query(PAYMENT_SN) == UNKNOWN


def a_result(**changed: Any) -> dict[str, Any]:
    found = {
        "refund_id": "50000000382019052709732678859",
        "out_refund_no": REFUND_SN,
        "out_trade_no": PAYMENT_SN,
        "status": "SUCCESS",
        "amount": {"total": 1999, "refund": 1, "payer_total": 1999, "payer_refund": 1, "currency": "CNY"},
    }
    return found | changed


async def refund(world: WechatWorld, status: int, content: object) -> RefundResult:
    world.answers = {"/refunds": (status, content)}
    return await world.channel.refund(PAYMENT, REFUND)


async def test_a_refund_names_its_number_and_both_amounts(world: WechatWorld) -> None:
    assert await refund(world, 200, a_result()) is RefundResult.SUCCEEDED
    assert world.asked[0] == (
        "POST",
        "/base/v3/refund/domestic/refunds",
        {
            "out_trade_no": PAYMENT_SN,
            "out_refund_no": REFUND_SN,
            "reason": "late_payment",
            "notify_url": "https://shop.example/notify",
            "amount": {"refund": 1, "total": 1999, "currency": "CNY"},
        },
    )


@pytest.mark.parametrize("reason", ["", "\N{PARTY POPPER}"])
async def test_a_reason_that_wechat_could_not_show_is_left_out(world: WechatWorld, reason: str) -> None:
    world.answers = {"/refunds": (200, a_result())}
    await world.channel.refund(PAYMENT, replace(REFUND, reason=reason))
    assert "reason" not in world.asked[0][2], "an empty one is refused"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("SUCCESS", RefundResult.SUCCEEDED),
        ("PROCESSING", RefundResult.PROCESSING),
        ("CLOSED", RefundResult.CLOSED),
        ("ABNORMAL", RefundResult.ABNORMAL),
        ("SOMETHING", RefundResult.UNKNOWN),
    ],
)
async def test_each_refund_status_has_its_meaning(
    world: WechatWorld, status: str, result: RefundResult
) -> None:
    assert await refund(world, 200, a_result(status=status)) is result
    world.answers = {REFUND_SN: (200, a_result(status=status))}
    assert await world.channel.query_refund(REFUND) is result


@pytest.mark.parametrize(
    "changed",
    [{"out_refund_no": "R2"}, {"out_trade_no": "P2"}, {"amount": {"refund": 2}}, {"amount": None}],
)
async def test_an_answer_about_another_refund_is_no_answer(
    world: WechatWorld, changed: dict[str, Any]
) -> None:
    assert await refund(world, 200, a_result(**changed)) is RefundResult.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (500, "SYSTEM_ERROR", RefundResult.UNKNOWN),
        (502, "", RefundResult.UNKNOWN),
        (429, "FREQUENCY_LIMITED", RefundResult.UNKNOWN),
        (403, "NOT_ENOUGH", RefundResult.UNKNOWN),
        (401, "SIGN_ERROR", RefundResult.UNKNOWN),
        (403, "USER_ACCOUNT_ABNORMAL", RefundResult.FAILED),
        (403, "NO_AUTH", RefundResult.FAILED),
        (400, "INVALID_REQUEST", RefundResult.FAILED),
        (400, "PARAM_ERROR", RefundResult.FAILED),
        (404, "RESOURCE_NOT_EXISTS", RefundResult.FAILED),
        (400, "TRADE_OVERDUE", RefundResult.TOO_LATE),
    ],
)
async def test_a_refusal_is_final_or_not(
    world: WechatWorld, status: int, code: str, result: RefundResult
) -> None:
    assert await refund(world, status, {"code": code, "message": ""}) is result
    world.signs = lambda body: {}
    assert await refund(world, status, {"code": code, "message": ""}) is RefundResult.UNKNOWN


async def test_what_is_refused_after_a_year_is_too_late(world: WechatWorld) -> None:
    for now_ms, result in (
        (PAID_MS + 365 * 86_400_000 - 1, RefundResult.FAILED),
        (PAID_MS + 365 * 86_400_000, RefundResult.TOO_LATE),
    ):
        world.now_ms = now_ms
        world.signs = lambda body: signed_headers(body, at_ms=world.now_ms)
        assert await refund(world, 400, {"code": "INVALID_REQUEST", "message": ""}) is result
        assert await refund(world, 200, a_result()) is RefundResult.SUCCEEDED  # sent in time, asked again


async def test_a_refund_that_wechat_does_not_know_is_sent_again(world: WechatWorld) -> None:
    world.answers = {REFUND_SN: (404, {"code": "RESOURCE_NOT_EXISTS", "message": "退款单不存在"})}
    assert await world.channel.query_refund(REFUND) is RefundResult.UNKNOWN


@pytest.mark.parametrize(
    ("content", "signs"),
    [
        (b'{"payer":{"openid":"oUpF8uMuAJO"},"x":"\xff"}', signed_headers),
        (b'{"payer":{"openid":"oUpF8uMuAJO"},"x":"\xff"}', lambda body: {}),
        (b'{"payer":{"openid":"oUpF8uMuAJO"},"code":"SIGN_ERROR"}', lambda body: {}),
    ],
)
async def test_the_log_names_no_buyer(world: WechatWorld, content: bytes, signs: Any) -> None:
    world.signs, world.answers = signs, {PAYMENT_SN: (200, content)}
    assert await world.channel.query(PAYMENT_SN) == UNKNOWN
    [(event, about)] = world.log
    assert event == "wechat_no_answer"
    assert "oUpF8uMuAJO" not in str(about)
    assert ("SIGN_ERROR" in about["error"]) is (b"SIGN_ERROR" in content), "what is wrong is told"
