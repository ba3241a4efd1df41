"""`shop.order.Order` of chapter 3: what reaches the use cases, and what the answers say."""

import json
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty

from shop_order.api.proto import shop_order_pb2 as pb
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import OrderFilter
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.notice import MAX_MESSAGE
from tests.component.grpc.stubs import ADMIN, NOW_MS, SN, World, bearer

ME = Actor(Role.USER, 7)
CHECKOUT: dict[str, Any] = {"name": "张三", "mobile": "13800138000", "address": "文三路 100 号"}


async def call(world: World, name: str, request: Any, answer: Any = Empty, metadata: Any = None) -> Any:
    return await world.call(f"/shop.order.Order/{name}", request, answer, metadata)


async def refused(world: World, name: str, request: Any, metadata: Any = None) -> tuple[str, str]:
    return await world.refused(f"/shop.order.Order/{name}", request, metadata)


async def test_add_means_one_and_checked_unless_it_says_otherwise(world: World) -> None:
    line = await call(world, "AddShoppingCart", pb.CartItemRequest(goods_id=3), pb.ShoppingCartInfo)
    request = pb.CartItemRequest(goods_id=3, nums=0, checked=False, user_id=7)
    await call(world, "AddShoppingCart", request, pb.ShoppingCartInfo)
    assert world.carts.asked == [("add", ME, 3, 1, True), ("add", ME, 3, 0, False)]
    assert (line.id, line.user_id, line.goods_id, line.nums, line.checked) == (21, 7, 3, 2, True)
    assert (line.goods_name, line.price_fen, round(line.goods_price, 2)) == ("青瓷杯", 1999, 19.99)
    assert (line.on_sale, line.stocks) == (True, 5)


async def test_update_leaves_what_is_absent(world: World) -> None:
    await call(world, "UpdateShoppingCart", pb.CartItemRequest(goods_id=3, nums=0))
    await call(world, "UpdateShoppingCart", pb.CartItemRequest(id=21, checked=False))
    assert world.carts.asked == [("update", ME, 3, 0, 0, None), ("update", ME, 0, 21, None, False)]


async def test_checking_needs_the_mark_and_without_a_line_means_all(world: World) -> None:
    await call(world, "UpdateCartItemCheck", pb.CartItemRequest(checked=False))
    assert world.carts.asked == [("check", ME, False, 0, 0)]
    assert await refused(world, "UpdateCartItemCheck", pb.CartItemRequest(goods_id=3)) == (
        "INVALID_ARGUMENT",
        "checked",
    )


async def test_delete_and_view(world: World) -> None:
    await call(world, "DeleteShoppingCart", pb.CartItemRequest(goods_id=3))
    assert world.carts.asked == [("remove", ME, 3, 0)]
    cart = await call(world, "GetShoppingCart", pb.UserInfo(id=7), pb.CartItemListResponse)
    assert (cart.total, cart.data[0].goods_id, cart.checked_total_fen) == (1, 3, 3998)


@pytest.mark.parametrize("name", ["AddShoppingCart", "UpdateShoppingCart", "DeleteShoppingCart"])
async def test_another_users_cart_is_refused(world: World, name: str) -> None:
    request = pb.CartItemRequest(user_id=8, goods_id=3, checked=True)
    assert await refused(world, name, request) == ("PERMISSION_DENIED", "NOT_YOURSELF")


async def test_create_order_checks_the_cart_out(world: World) -> None:
    request = pb.OrderRequest(
        **CHECKOUT, post="310012", note="n", pay_type="alipay", expected_total_fen=0, idempotency_key="k"
    )
    order = await call(world, "CreateOrder", request, pb.OrderInfoResponse)
    command = world.orders.asked[0][2]
    assert (command.lines, command.pay_type, command.expected_fen) == (None, PaymentType.ALIPAY, 0)
    assert (command.address.post, command.address.detail, command.key) == ("310012", "文三路 100 号", "k")
    assert (order.total_fen, round(order.total, 2), order.pay_type) == (3998, 39.98, "")
    assert order.add_time == "2025-11-23T20:13:20.123+08:00"
    assert (order.pay_time, order.pay_url) == ("", f"http://cashier/{SN}")


async def test_the_shops_pages_are_handed_on(world: World) -> None:
    request = pb.OrderRequest(**CHECKOUT, return_url="http://r", cancel_url="http://c")
    await call(world, "CreateOrder", request, pb.OrderInfoResponse)
    command = world.orders.asked[0][2]
    assert (command.return_url, command.cancel_url) == ("http://r", "http://c")


async def test_an_absent_expectation_is_none(world: World) -> None:
    await call(world, "CreateOrder", pb.OrderRequest(**CHECKOUT), pb.OrderInfoResponse)
    assert world.orders.asked[0][2].expected_fen is None


async def test_a_channel_that_does_not_exist_is_refused(world: World) -> None:
    request = pb.OrderRequest(**CHECKOUT, pay_type="cash")
    assert await refused(world, "CreateOrder", request) == ("INVALID_ARGUMENT", "pay_type")
    assert world.orders.asked == []


async def test_lists_filter(world: World) -> None:
    request = pb.OrderFilterRequest(
        user_id=7, pages=2, page_per_nums=500, status=5, order_sn=SN,
        start_time="2026-11-01T00:00:00+08:00", end_time="2026-11-02T00:00:00Z",
    )  # fmt: skip
    answer = await call(world, "OrderList", request, pb.OrderListResponse, ADMIN)
    where = OrderFilter(7, OrderStatus.CANCELLED, SN, 1_793_462_400_000, 1_793_577_600_000)
    assert world.orders.asked[0][2:] == (where, 2, 100, None)
    assert (answer.total, answer.data[0].order_sn) == (1, SN)


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-11-01", "2026-11-01T00:00:00", "2026-13-01T00:00:00Z", "9" * 50]
)
async def test_a_time_needs_its_whole_form(world: World, text: str) -> None:
    answer = await refused(world, "OrderList", pb.OrderFilterRequest(start_time=text))
    assert answer == ("INVALID_ARGUMENT", "start_time")


async def test_the_detail_tells_the_history(world: World) -> None:
    told = {"user_id": 7, "old_status": 0, "new_status": 1, "reason": ""}
    told |= {"operator": "user", "operator_id": 7}
    world.orders.events = [
        Event(1, SN, 1, "order.created", json.dumps(told).encode(), b"", b"", NOW_MS),
        Event(2, SN, 2, "payment.opened", json.dumps(told | {"old_status": 1}).encode(), b"", b"", NOW_MS),
    ]
    detail = await call(world, "OrderDetail", pb.OrderRequest(id=11), pb.OrderInfoDetailResponse)
    assert detail.order_info.order_sn == SN
    assert [(g.goods_id, g.nums, g.price_fen, g.order_id) for g in detail.goods] == [(3, 2, 1999, 11)]
    assert [(log.action, log.old_status, log.operator_id) for log in detail.logs] == [
        ("create", 0, 7),
        ("payment.opened", 1, 7),
    ]
    assert (len(detail.logistics), len(detail.payments)) == (0, 0)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.OrderRequest(), ("INVALID_ARGUMENT", "id")),
        (pb.OrderRequest(id=-1), ("INVALID_ARGUMENT", "id")),
        (pb.OrderRequest(order_sn="1"), ("INVALID_ARGUMENT", "order_sn")),
        (pb.OrderRequest(order_sn=SN, id=12), ("NOT_FOUND", "ORDER_NOT_FOUND")),
        (pb.OrderRequest(order_sn=SN, user_id=8), ("PERMISSION_DENIED", "NOT_YOURSELF")),
    ],
)
async def test_the_detail_refuses(world: World, request_: pb.OrderRequest, expected: tuple[str, str]) -> None:
    assert await refused(world, "OrderDetail", request_) == expected


async def test_update_status_moves_by_number_or_id(world: World) -> None:
    await call(
        world, "UpdateOrderStatus", pb.OrderStatus(order_sn=SN, status=5, reason="r", expected_status=1)
    )
    await call(world, "UpdateOrderStatus", pb.OrderStatus(id=11, status=4))
    parcel = pb.OrderStatus(order_sn=SN, status=3, logistics_company="c", logistics_no="n")
    await call(world, "UpdateOrderStatus", parcel, metadata=ADMIN)
    moves = [asked for asked in world.orders.asked if not asked[0].startswith("get")]
    assert moves == [
        ("cancel", ME, SN, "r", 0, OrderStatus.PENDING),
        ("confirm", ME, SN, None),
        ("ship", Actor(Role.ADMIN, 1), SN, "c", "n", None),
    ]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.OrderStatus(order_sn=SN), ("INVALID_ARGUMENT", "status")),
        (pb.OrderStatus(order_sn=SN, status=9), ("INVALID_ARGUMENT", "status")),
        (pb.OrderStatus(order_sn=SN, status=5, expected_status=9), ("INVALID_ARGUMENT", "expected_status")),
        (pb.OrderStatus(status=5), ("INVALID_ARGUMENT", "id")),
        (pb.OrderStatus(order_sn=SN, status=3), ("PERMISSION_DENIED", "FORBIDDEN")),
        (pb.OrderStatus(order_sn=SN, status=2), ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")),
    ],
)
async def test_update_status_refuses(
    world: World, request_: pb.OrderStatus, expected: tuple[str, str]
) -> None:
    assert await refused(world, "UpdateOrderStatus", request_) == expected


async def test_pay_order(world: World) -> None:
    request = pb.OrderPayRequest(order_sn=SN, payment_type=1, idempotency_key="k")
    paid = await call(world, "PayOrder", request, pb.OrderPayResponse)
    assert (paid.payment_sn, paid.status, paid.amount_fen, paid.paid_at) == ("P" + SN, 1, 3998, "")
    assert world.payments.asked[0][2].key == "k"


async def test_a_providers_notice_is_handed_on_byte_for_byte(world: World) -> None:
    request = pb.OrderPayCallbackRequest(
        payment_type=1, raw_body=b"a=1&b=%E4", headers={"Content-Type": "x"}, amount=1, sign="ignored"
    )
    await call(world, "OrderPayCallback", request, metadata=())
    assert world.payments.asked == [
        ("provider", PaymentType.ALIPAY, b"a=1&b=%E4", {"Content-Type": "x"}),
    ]


async def test_our_gateways_notice_is_signed_over_every_set_field(world: World) -> None:
    request = pb.OrderPayCallbackRequest(
        order_sn=SN, payment_sn="P" + SN, trade_no="t", amount=39.98, payment_type=1, sign="s",
        amount_fen=3998, trade_status="TRADE_SUCCESS", notify_id="n", app_id="a", paid_at="now",
    )  # fmt: skip
    await call(world, "OrderPayCallback", request, metadata=())
    notice = world.payments.asked[0][1]
    assert notice.signed == {
        "order_sn": SN, "payment_sn": "P" + SN, "trade_no": "t", "payment_type": "1", "amount_fen": "3998",
        "trade_status": "TRADE_SUCCESS", "notify_id": "n", "app_id": "a", "paid_at": "now",
    }  # fmt: skip
    assert (notice.sign, notice.amount_fen, notice.means_paid) == ("s", 3998, True)


async def test_a_callback_needs_fen_and_tells_a_mismatch(world: World) -> None:
    without = pb.OrderPayCallbackRequest(order_sn=SN, sign="s", amount=39.98)
    assert await refused(world, "OrderPayCallback", without, ()) == ("INVALID_ARGUMENT", "amount_fen")
    world.payments.fails = AmountMismatch("amount")
    wrong = pb.OrderPayCallbackRequest(payment_type=1, raw_body=b"x")
    assert await refused(world, "OrderPayCallback", wrong, ()) == ("FAILED_PRECONDITION", "AMOUNT_MISMATCH")


async def test_a_callback_is_not_parsed_if_it_is_too_large(world: World) -> None:
    """Anybody may call it, and 330,000 headers in 3 MB would keep everybody waiting for seconds."""
    large = pb.OrderPayCallbackRequest(payment_type=1, raw_body=b"x", headers={"x" * MAX_MESSAGE: ""})
    assert await refused(world, "OrderPayCallback", large, ()) == ("INVALID_ARGUMENT", "request")
    assert not world.payments.asked


async def test_another_users_order_can_not_be_looked_at(world: World) -> None:
    assert await refused(world, "OrderDetail", pb.OrderRequest(id=11), bearer(8)) == (
        "NOT_FOUND",
        "ORDER_NOT_FOUND",
    )
