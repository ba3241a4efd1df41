"""Whether an order can be paid through a channel: each protocol gives the same reason for the same fault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import order_pb2_grpc, shop_order_pb2, shop_order_pb2_grpc
from shop_order.domain.status import PaymentType
from tests.shop import ADDRESS, Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")
Call = Callable[[], Awaitable[Any]]
WORDS = {0: "", 1: "alipay", 2: "wechat", 3: "balance", 9: "paypal"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as running:
        yield running


async def grpc_reason(call: Call) -> str:
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
        return reason_in(details)
    return "OK"


def reason_in(details: Any) -> str:
    for detail in Status.FromString(details).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return "none"


async def reasons(shop: Shop, order_sn: str, payment_type: int, trade_type: str) -> list[str]:
    """Of paying over specification 9.1, specification 3, and REST."""
    assert shop.channel is not None
    ours: Any = order_pb2_grpc.OrderServiceStub(shop.channel)
    theirs: Any = shop_order_pb2_grpc.OrderStub(shop.channel)
    fields: dict[str, Any] = {"order_sn": order_sn, "payment_type": payment_type, "trade_type": trade_type}
    metadata = shop.metadata()
    ours_asked, theirs_asked = pb.PayOrderRequest(**fields), shop_order_pb2.OrderPayRequest(**fields)
    body = {"payment_type": WORDS[payment_type], "trade_type": trade_type}
    answer = await shop.http.post(f"/api/v1/orders/{order_sn}/pay", json=body, headers=shop.bearer())
    return [
        await grpc_reason(lambda: ours.PayOrder(ours_asked, metadata=metadata)),
        await grpc_reason(lambda: theirs.PayOrder(theirs_asked, metadata=metadata)),
        answer.json().get("error", "OK"),
    ]


@pytest.mark.parametrize(
    ("payment_type", "trade_type", "reason"),
    [
        (0, "", "INVALID_ARGUMENT"),
        (9, "", "INVALID_ARGUMENT"),
        (2, "", "CHANNEL_UNAVAILABLE"),
        (3, "", "OK"),
        (3, "page", "INVALID_ARGUMENT"),
        (1, "qr", "OK"),
        (1, "app", "OK"),
        (1, "nonsense", "INVALID_ARGUMENT"),
        (1, "x" * 25, "INVALID_ARGUMENT"),
        (1, "wap", "OK"),
    ],
)
async def test_a_channel_or_trade_type(shop: Shop, payment_type: int, trade_type: str, reason: str) -> None:
    order_sn = (await shop.place())["order_sn"]
    assert await reasons(shop, order_sn, payment_type, trade_type) == [reason] * 3


async def test_an_order_that_can_not_be_paid(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order_sn = (await shop.place())["order_sn"]
    channel = shop.core.channels[PaymentType.ALIPAY]
    with monkeypatch.context() as patch:
        patch.setattr(channel, "largest_fen", 1)
        assert await reasons(shop, order_sn, 1, "") == ["AMOUNT_NOT_PAYABLE"] * 3
    with monkeypatch.context() as patch:
        patch.setattr(channel, "available", lambda: False)
        assert await reasons(shop, order_sn, 1, "") == ["CHANNEL_UNAVAILABLE"] * 3
    await shop.advance(1800 - 60)
    assert await reasons(shop, order_sn, 1, "") == ["PAY_WINDOW_CLOSED"] * 3
    await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", json={}, headers=shop.bearer())
    assert await reasons(shop, order_sn, 1, "") == ["ILLEGAL_TRANSITION"] * 3


async def test_an_order_with_a_channel_is_placed_only_if_it_can_be_used(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.channel is not None
    ours: Any = order_pb2_grpc.OrderServiceStub(shop.channel)
    theirs: Any = shop_order_pb2_grpc.OrderStub(shop.channel)
    metadata = shop.metadata()
    await shop.http.post("/api/v1/cart/items", json={"goods_id": 101}, headers=shop.bearer())

    async def placing(payment_type: int, key: str = "") -> list[str]:
        listed = pb.CreateOrderRequest(
            items=[pb.OrderItemRequest(product_id=101, quantity=1)],
            address=pb.AddressInfo(**ADDRESS),
            payment_type=payment_type,
            idempotency_key=key,
        )
        cart = shop_order_pb2.OrderRequest(
            name="张三", mobile="13800138000", address="人民路 1 号", pay_type=WORDS[payment_type]
        )
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS, "pay_type": WORDS[payment_type]}
        answer = await shop.http.post("/api/v1/orders", json=body, headers=shop.bearer())
        return [
            await grpc_reason(lambda: ours.CreateOrder(listed, metadata=metadata)),
            await grpc_reason(lambda: theirs.CreateOrder(cart, metadata=metadata)),
            answer.json().get("error", "OK"),
        ]

    stock = await shop.core.stock.available([101])
    assert await placing(2) == ["CHANNEL_UNAVAILABLE"] * 3
    assert await shop.core.stock.available([101]) == stock
    assert await placing(1, key="once") == ["OK"] * 3
    monkeypatch.setattr(shop.core.channels[PaymentType.ALIPAY], "available", lambda: False)
    assert (await placing(1, key="once"))[0] == "OK", "a replay is what was placed, whatever is so now"
