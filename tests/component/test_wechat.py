"""WeChat Pay before its simulator: each trade type, both kinds of keys, notices true and false, refunds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shop_order.domain.ports import TradeState
from shop_order.domain.status import PaymentType
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

CERTIFICATE_MODE = {"PAY__WECHAT__PUBLIC_KEY_FILE": "", "PAY__WECHAT__PUBLIC_KEY_ID": ""}


@pytest.fixture
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """A shop in the mode of the test's parameter, otherwise in public-key mode."""
    async with Shop(tmp_path, **getattr(request, "param", {})) as running:
        yield running


both_modes = pytest.mark.parametrize(
    "shop", [{}, CERTIFICATE_MODE], indirect=True, ids=["public_key", "certificates"]
)


async def open_attempt(shop: Shop, trade_type: str = "native", **body: str) -> Mapping[str, Any]:
    """A new order's attempt."""
    order_sn = (await shop.place())["order_sn"]
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/pay",
        json={"payment_type": "wechat", "trade_type": trade_type, **body},
        headers=shop.bearer(),
    )
    assert answer.status_code == 200, answer.text
    attempt: Mapping[str, Any] = answer.json()["data"]
    return attempt


async def does(shop: Shop, attempt: Mapping[str, Any], action: str, **query: Any) -> Mapping[str, Any]:
    """An action at the simulator: its answer."""
    answer = await shop.provider.post(f"/wechat/sim/{attempt['payment_sn']}/{action}", params=query)
    assert answer.status_code == 200, answer.text
    done: Mapping[str, Any] = answer.json()
    return done


async def platform(shop: Shop, **change: str) -> None:
    answer = await shop.provider.post("/wechat/sim/platform", json=change)
    assert answer.status_code == 200, answer.text


async def alerts(shop: Shop, name: str = "notice_mismatch") -> float:
    return shop.core.metrics.registry.get_sample_value("shop_order_alerts_total", {"name": name}) or 0.0


def state_of(shop: Shop, attempt: Mapping[str, Any]) -> Any:
    return shop.core.channels[PaymentType.WECHAT].query(attempt["payment_sn"])


@both_modes
async def test_a_qr_payment_is_paid_by_its_notice(shop: Shop) -> None:
    attempt = await open_attempt(shop)
    assert attempt["payment_url"].startswith("qr:weixin://") or attempt["payment_url"].startswith("weixin://")
    told = await does(shop, attempt, "pay")
    if "PAY__WECHAT__PUBLIC_KEY_ID" in str(shop.environ):
        told = await does(shop, attempt, "notify_again")
    assert (told["status"], told["body"]) == (204, "")
    assert (await does(shop, attempt, "notify_again"))["status"] == 204
    order = await shop.order(attempt["order_sn"])
    assert (order["status"], order["pay_type"]) == ("paid", "wechat")
    await shop.check_doctor()


@pytest.mark.parametrize(
    ("trade_type", "body"),
    [
        ("native", {}),
        ("jsapi", {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}),
        ("mini", {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}),
        ("h5", {}),
        ("app", {}),
    ],
)
async def test_each_trade_type_is_opened_paid_and_found(
    shop: Shop, trade_type: str, body: dict[str, str]
) -> None:
    attempt = await open_attempt(shop, trade_type, **body)
    assert (await state_of(shop, attempt)).state is TradeState.WAITING
    await does(shop, attempt, "pay", notice=0)
    found = await state_of(shop, attempt)
    assert (found.state, found.amount_fen) == (TradeState.PAID, attempt["amount_fen"])
