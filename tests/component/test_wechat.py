"""WeChat Pay before its simulator: each trade type, both kinds of keys, notices true and false, refunds."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import BillNotOut, PaymentChannel, RefundResult, Trade, TradeState
from shop_order.domain.status import PaymentType
from shop_order.service import settle
from tests.shop import Shop, wechat_pay
from tests.world.provider import a_refund, an_attempt

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

CERTIFICATE_MODE = {"PAY__WECHAT__PUBLIC_KEY_FILE": "", "PAY__WECHAT__PUBLIC_KEY_ID": ""}
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
REFUND_SN = "R261121080000000000000000001"
Attempt = Mapping[str, Any]


@pytest.fixture
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """A shop with the settings of the test's parameter; by default in public-key mode."""
    async with Shop(tmp_path, **getattr(request, "param", {})) as running:
        yield running


in_both_modes = pytest.mark.parametrize(
    "shop", [{}, CERTIFICATE_MODE], indirect=True, ids=["public_key", "certificates"]
)


async def open_attempt(shop: Shop, trade_type: str = "native", **body: str) -> Attempt:
    """A new order's attempt."""
    order_sn = (await shop.place())["order_sn"]
    wanted = {"payment_type": "wechat", "trade_type": trade_type, **body}
    answer = await shop.http.post(f"/api/v1/orders/{order_sn}/pay", json=wanted, headers=shop.bearer())
    assert answer.status_code == 200, answer.text
    attempt: Attempt = answer.json()["data"]
    return attempt


async def does(shop: Shop, attempt: Attempt, action: str, **query: Any) -> Mapping[str, Any]:
    """An action at the simulator: its answer."""
    answer = await shop.provider.post(f"/wechat/sim/{attempt['payment_sn']}/{action}", params=query)
    assert answer.status_code == 200, answer.text
    done: Mapping[str, Any] = answer.json()
    return done


async def platform(shop: Shop, **change: str) -> None:
    answer = await shop.provider.post("/wechat/sim/platform", json=change)
    assert answer.status_code == 200, answer.text


def channel(shop: Shop) -> PaymentChannel:
    found: PaymentChannel = shop.core.channels[PaymentType.WECHAT]
    return found


async def status(shop: Shop, attempt: Attempt) -> int:
    found: int = (await shop.order(attempt["order_sn"]))["status"]
    return found


@in_both_modes
async def test_a_qr_payment_is_paid_by_its_notice(shop: Shop) -> None:
    attempt = await open_attempt(shop)
    assert attempt["payment_url"].removeprefix("qr:").startswith("weixin://")
    told = await does(shop, attempt, "pay")
    assert (told["status"], told["body"]) == (204, "")
    assert (await does(shop, attempt, "notify_again"))["status"] == 204
    order = await shop.order(attempt["order_sn"])
    assert (order["status"], order["pay_type"]) == (2, "wechat")
    await shop.check_doctor()


@pytest.mark.parametrize(
    ("trade_type", "body"),
    [
        ("native", {}),
        ("jsapi", {"openid": OPENID}),
        ("mini", {"openid": OPENID}),
        ("h5", {}),
        ("app", {}),
    ],
)
async def test_each_trade_type_is_opened_found_and_paid(
    shop: Shop, trade_type: str, body: dict[str, str]
) -> None:
    attempt = await open_attempt(shop, trade_type, **body)
    found = await channel(shop).query(attempt["payment_sn"])
    assert found == Trade(TradeState.WAITING)
    await does(shop, attempt, "pay", notice=0)
    found = await channel(shop).query(attempt["payment_sn"])
    assert (found.state, found.amount_fen) == (TradeState.PAID, attempt["amount_fen"])
    assert (await does(shop, attempt, "notify_again"))["status"] == 204
    assert await status(shop, attempt) == 2


@pytest.mark.parametrize(
    ("trade_type", "app_id"), [("jsapi", "wx0000000000000001"), ("mini", "wx0000000000000002")]
)
async def test_the_bridge_parameters_are_signed_for_the_buyers_app(
    shop: Shop, trade_type: str, app_id: str
) -> None:
    attempt = await open_attempt(shop, trade_type, openid=OPENID)
    values = attempt["jsapi_params"]
    values = json.loads(values) if isinstance(values, str) else values
    text = "".join(f"{values[name]}\n" for name in ("appId", "timeStamp", "nonceStr", "package"))
    assert values["appId"] == app_id
    wechat_pay(shop.sandbox).keys.merchant.verify(
        base64.b64decode(values["paySign"]), text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize("trade_type", ["jsapi", "mini"])
async def test_without_an_openid_nothing_is_opened(shop: Shop, trade_type: str) -> None:
    order_sn = (await shop.place())["order_sn"]
    for openid in ("", "not an openid!"):
        wanted = {"payment_type": "wechat", "trade_type": trade_type, "openid": openid}
        answer = await shop.http.post(f"/api/v1/orders/{order_sn}/pay", json=wanted, headers=shop.bearer())
        assert (answer.status_code, answer.json()["details"]["field"]) == (400, "openid")


@pytest.mark.parametrize("shop", [{"PAY__WECHAT__APP_ID_MINI": ""}], indirect=True)
async def test_a_kind_without_an_app_id_is_unavailable(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    wanted = {"payment_type": "wechat", "trade_type": "mini", "openid": OPENID}
    answer = await shop.http.post(f"/api/v1/orders/{order_sn}/pay", json=wanted, headers=shop.bearer())
    assert (answer.status_code, answer.json()["error"]) == (409, "CHANNEL_UNAVAILABLE")


async def test_an_unpaid_trade_is_closed_and_a_paid_one_is_not(shop: Shop) -> None:
    unpaid, paid = await open_attempt(shop), await open_attempt(shop)
    assert await channel(shop).close(unpaid["payment_sn"]) == Trade(TradeState.CLOSED)
    assert (await channel(shop).query(unpaid["payment_sn"])).state is TradeState.CLOSED
    await does(shop, paid, "pay", notice=0)
    assert (await channel(shop).close(paid["payment_sn"])).state is TradeState.PAID
    assert (await channel(shop).query("P261121080000000000000000001")).state is TradeState.ABSENT


async def test_the_channel_is_switched_by_closing_the_trade(shop: Shop) -> None:
    attempt = await open_attempt(shop)
    await shop.open_attempt(attempt["order_sn"])
    assert (await channel(shop).query(attempt["payment_sn"])).state is TradeState.CLOSED


@pytest.mark.parametrize(
    ("action", "refused"),
    [
        ("probe", 401), ("forge_sign", 401), ("forge_time", 401), ("forge_tag", 409), ("forge_amount", 409),
        ("forge_app", 409), ("forge_mchid", 409), ("forge_currency", 409),
    ],
)  # fmt: skip
async def test_what_is_not_wechats_or_not_ours_changes_nothing(shop: Shop, action: str, refused: int) -> None:
    attempt = await open_attempt(shop)
    told = await does(shop, attempt, action)
    assert (told["status"], json.loads(told["body"])) == (refused, {"code": "FAIL", "message": "失败"})
    assert await status(shop, attempt) == 1
    await does(shop, attempt, "pay")
    assert await status(shop, attempt) == 2
    await does(shop, attempt, action)
    assert await status(shop, attempt) == 2
    await shop.check_doctor()


# ---- keys ----


@pytest.mark.parametrize("shop", [CERTIFICATE_MODE], indirect=True)
async def test_a_rotation_of_certificates_loses_no_notice(shop: Shop) -> None:
    await does(shop, await open_attempt(shop), "pay")
    await platform(shop, certificates="add")  # overlap: both are issued, the old one signs
    await does(shop, before := await open_attempt(shop), "pay")
    assert await status(shop, before) == 2
    await platform(shop, certificates="switch")
    store = channel(shop)._gateway._certificates  # type: ignore[attr-defined]
    store._tried_ms -= 60_000  # a minute later: the answer's unknown serial fetches them again
    assert len(store._known) == 1
    await does(shop, after := await open_attempt(shop), "pay")
    assert await status(shop, after) == 2
    assert len(store._known) == 2


async def test_during_a_change_of_mode_both_kinds_of_notices_are_taken(shop: Shop) -> None:
    await platform(shop, notices="mixed")
    for _ in range(4):
        attempt = await open_attempt(shop)
        await does(shop, attempt, "pay")

        async def is_paid(attempt: Attempt = attempt) -> bool:
            return await status(shop, attempt) == 2

        await shop.until(is_paid)


# ---- refunds ----


async def a_paid_one(shop: Shop) -> tuple[Attempt, Payment]:
    """A paid attempt, and what the channel is told of it."""
    attempt = await open_attempt(shop)
    told = await does(shop, attempt, "pay")
    assert told["status"] == 204
    about = {"payment_type": PaymentType.WECHAT, "amount_fen": attempt["amount_fen"]}
    return attempt, an_attempt(attempt["payment_sn"], **about, paid_ms=10**13)


@pytest.mark.parametrize(
    ("fate", "first", "then"),
    [
        ("success", RefundResult.PROCESSING, RefundResult.SUCCEEDED),
        ("closed", RefundResult.PROCESSING, RefundResult.CLOSED),
        ("abnormal", RefundResult.PROCESSING, RefundResult.ABNORMAL),
        ("stay", RefundResult.PROCESSING, RefundResult.PROCESSING),
        ("not_enough", RefundResult.UNKNOWN, RefundResult.UNKNOWN),
        ("account", RefundResult.FAILED, RefundResult.UNKNOWN),
    ],
)
async def test_a_refund_ends_as_wechat_says(
    shop: Shop, fate: str, first: RefundResult, then: RefundResult
) -> None:
    attempt, payment = await a_paid_one(shop)
    await does(shop, attempt, f"refund_{fate}")
    refund = a_refund(payment, REFUND_SN, amount_fen=1)
    results = {await channel(shop).refund(payment, refund), await channel(shop).refund(payment, refund)}
    assert first in results

    async def ended() -> bool:
        return await channel(shop).query_refund(refund) is then

    await shop.until(ended)
    state = (await shop.provider.get(f"/wechat/sim/{attempt['payment_sn']}")).json()
    assert len(state["refunds"]) == (0 if first is not RefundResult.PROCESSING else 1)


async def test_more_than_was_paid_is_refused(shop: Shop) -> None:
    _, payment = await a_paid_one(shop)
    refund = a_refund(payment, REFUND_SN, amount_fen=payment.amount_fen + 1)
    assert await channel(shop).refund(payment, refund) is RefundResult.FAILED


async def test_a_late_payment_is_given_back_once(shop: Shop) -> None:
    attempt = await open_attempt(shop)
    cancelled = await shop.http.post(
        f"/api/v1/orders/{attempt['order_sn']}/cancel", json={}, headers=shop.bearer()
    )
    assert cancelled.status_code == 200
    assert (await does(shop, attempt, "pay_late"))["status"] == 204

    async def is_back() -> bool:
        order = await shop.order(attempt["order_sn"])
        return (order["status"], order["refund_status"]) == (5, 2)

    await shop.until(is_back)
    state = (await shop.provider.get(f"/wechat/sim/{attempt['payment_sn']}")).json()
    assert [one["amount_fen"] for one in state["refunds"]] == [attempt["amount_fen"]]
    await shop.check_doctor()


# ---- bills ----


@in_both_modes
async def test_the_bill_of_the_day_agrees_with_what_was_paid_and_refunded(shop: Shop) -> None:
    paid, back = await open_attempt(shop), await open_attempt(shop)
    await shop.http.post(f"/api/v1/orders/{back['order_sn']}/cancel", json={}, headers=shop.bearer())
    for attempt in (paid, back):
        await does(shop, attempt, "pay_late")

    async def is_back() -> bool:
        return bool((await shop.order(back["order_sn"]))["refund_status"] == 2)

    await shop.until(is_back)
    today = datetime.now(timezone(timedelta(hours=8))).date()
    bills = channel(shop).bills
    assert bills is not None
    with pytest.raises(BillNotOut):
        await bills.bill(today, lambda _: None)
    answer = await shop.provider.post(f"/wechat/sim/bills/{today}", json={"out": True})
    assert answer.status_code == 200, answer.text
    bill = await bills.bill(today, lambda _: None)
    found = {(line.payment_sn, line.is_refund): line for line in bill.lines}
    assert set(found) == {
        (paid["payment_sn"], False), (back["payment_sn"], False), (back["payment_sn"], True)
    }  # fmt: skip
    assert all(line.amount_fen == paid["amount_fen"] for line in found.values())
    assert found[paid["payment_sn"], False].fee_fen == round(paid["amount_fen"] * 0.006)
    result = await shop.core.reconciliation.reconcile(PaymentType.WECHAT, today)
    assert (result.differences, result.theirs.trades, result.theirs.refunds) == (0, 2, 1)


# ---- mini-programs ----


async def test_wechat_is_told_that_an_order_of_the_mini_program_has_shipped(shop: Shop) -> None:
    attempt, native = await open_attempt(shop, "mini", openid=OPENID), await open_attempt(shop)
    await does(shop, attempt, "pay", openid=OPENID)
    await does(shop, native, "pay")
    for one in (attempt, native):
        await shop.ship(one["order_sn"])
    mini = wechat_pay(shop.sandbox).mini

    async def told() -> Mapping[str, Any] | None:
        return await mini.shipping(attempt["payment_sn"])

    found = await shop.until(told)
    [parcel] = found["shipping_list"]
    assert (parcel["tracking_no"], parcel["express_company"]) == ("SF1234567890", "SF")
    assert parcel["contact"] == {"receiver_contact": "****8000"}
    assert (found["payer"], found["uploads"]) == ({"openid": OPENID}, 1)
    assert await mini.shipping(native["payment_sn"]) is None
    await shop.check_doctor()


async def test_a_shipping_that_wechat_can_not_take_now_is_told_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "QUERY_BACKOFF_MS", (100,))
    attempt = await open_attempt(shop, "mini", openid=OPENID)
    await does(shop, attempt, "pay", openid=OPENID)
    mini = wechat_pay(shop.sandbox).mini
    mini.faults.plant("upload_shipping_info", "late", 2)
    mini.faults.plant("stable_token", "busy", 1)
    await shop.ship(attempt["order_sn"])

    async def told() -> Mapping[str, Any] | None:
        return await mini.shipping(attempt["payment_sn"])

    assert (await shop.until(told))["uploads"] == 1
