"""`order.OrderService` of 9.1: what reaches the use cases, and what the answers say."""

from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp

from shop_order.api.proto import order_pb2 as pb
from shop_order.domain.ports import Cursor, OrderFilter
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from tests.component.grpc.stubs import ADMIN, NOW_MS, SN, World, bearer

ADDRESS = pb.AddressInfo(name="张三", phone="13800138000", province="浙江省", detail="文三路 100 号")
ITEM = pb.OrderItemRequest(product_id=3, quantity=2)


async def call(
    world: World, name: str, request: Any, answer: Any = pb.OrderInfo, metadata: Any = None
) -> Any:
    return await world.call(f"/order.OrderService/{name}", request, answer, metadata)


async def refused(world: World, name: str, request: Any, metadata: Any = None) -> tuple[str, str]:
    """The code and the field, or reason, of a refusal; nothing may have reached the use cases."""
    return await world.refused(f"/order.OrderService/{name}", request, metadata)


async def test_create_order_hands_on_every_field(world: World) -> None:
    request = pb.CreateOrderRequest(
        user_id=7,
        items=[ITEM, pb.OrderItemRequest(product_id=9, quantity=1)],
        address=ADDRESS,
        remark="放门口",
        coupon_id="c-1",
        payment_type=1,
        quote_token="q",
        expected_total_fen=3998,
        idempotency_key="k",
    )
    await call(world, "CreateOrder", request)
    _, actor, command = world.orders.asked[0]
    assert actor == Actor(Role.USER, 7)
    assert command.lines == (Line(3, 2), Line(9, 1))
    assert (command.address.name, command.address.province, command.address.post) == ("张三", "浙江省", "")
    assert (command.note, command.coupon_id, command.quote_token) == ("放门口", "c-1", "q")
    assert (command.pay_type, command.expected_fen, command.key) == (PaymentType.ALIPAY, 3998, "k")


async def test_the_answer_has_floats_as_specified_and_exact_fen_beside_them(world: World) -> None:
    info = await call(world, "CreateOrder", pb.CreateOrderRequest(items=[ITEM], address=ADDRESS))
    assert (info.id, info.order_sn, info.user_id, info.status, info.version) == (11, SN, 7, 1, 1)
    assert (round(info.total_amount, 2), info.total_amount_fen, info.pay_amount_fen) == (39.98, 3998, 3998)
    assert (info.created_at.ToMilliseconds(), info.expire_at.ToMilliseconds()) == (NOW_MS, NOW_MS + 1_800_000)
    assert not info.HasField("paid_at")
    assert info.pay_url == f"http://cashier/{SN}"
    assert (info.address.city, info.address.detail) == ("杭州市", "文三路 100 号")
    item = info.items[0]
    assert (item.order_id, item.product_id, item.product_name, item.quantity) == (11, 3, "青瓷杯", 2)
    assert (round(item.price, 2), item.price_fen, item.total_amount_fen) == (19.99, 1999, 3998)


async def test_the_shops_pages_are_handed_on(world: World) -> None:
    request = pb.CreateOrderRequest(
        items=[ITEM], address=ADDRESS, return_url="http://r", cancel_url="http://c"
    )
    await call(world, "CreateOrder", request)
    command = world.orders.asked[0][2]
    assert (command.return_url, command.cancel_url) == ("http://r", "http://c")


def creation(**changed: Any) -> pb.CreateOrderRequest:
    request = pb.CreateOrderRequest(items=[ITEM], address=ADDRESS)
    changes = pb.CreateOrderRequest(**changed)
    for field, _ in changes.ListFields():
        request.ClearField(field.name)  # type: ignore[arg-type]
    request.MergeFrom(changes)
    return request


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (creation(items=[{"product_id": 3, "quantity": -1}]), ("INVALID_ARGUMENT", "items[0].nums")),
        (creation(items=[{"product_id": 3, "quantity": 1000}]), ("INVALID_ARGUMENT", "items[0].nums")),
        (creation(items=[{"product_id": 0, "quantity": 1}]), ("INVALID_ARGUMENT", "items[0].goods_id")),
        (creation(address={"name": "张三"}), ("INVALID_ARGUMENT", "address.phone")),
        (creation(payment_type=4), ("INVALID_ARGUMENT", "payment_type")),
        (creation(expected_total_fen=-1), ("INVALID_ARGUMENT", "expected_total_fen")),
        (creation(user_id=8), ("PERMISSION_DENIED", "NOT_YOURSELF")),
        (creation(user_id=-7), ("INVALID_ARGUMENT", "user_id")),
    ],
)
async def test_create_order_refuses(
    world: World, request_: pb.CreateOrderRequest, expected: tuple[str, str]
) -> None:
    assert await refused(world, "CreateOrder", request_) == expected
    assert world.orders.asked == []


async def test_an_order_is_looked_up_by_id_or_number(world: World) -> None:
    assert (await call(world, "GetOrder", pb.GetOrderRequest(id=11))).order_sn == SN
    assert (await call(world, "GetOrderByOrderSn", pb.GetOrderByOrderSnRequest(order_sn=SN))).id == 11


async def test_another_users_order_does_not_exist(world: World) -> None:
    by_sn = pb.GetOrderByOrderSnRequest(order_sn=SN)
    assert await refused(world, "GetOrderByOrderSn", by_sn, bearer(8)) == ("NOT_FOUND", "ORDER_NOT_FOUND")
    assert await refused(world, "GetOrder", pb.GetOrderRequest(id=11), bearer(8)) == (
        "NOT_FOUND",
        "ORDER_NOT_FOUND",
    )


async def test_an_admin_names_the_owner_or_nobody(world: World) -> None:
    for user_id in (0, 7):
        request = pb.GetOrderByOrderSnRequest(order_sn=SN, user_id=user_id)
        assert (await call(world, "GetOrderByOrderSn", request, metadata=ADMIN)).id == 11
    wrong = pb.GetOrderByOrderSnRequest(order_sn=SN, user_id=8)
    assert await refused(world, "GetOrderByOrderSn", wrong, ADMIN) == ("NOT_FOUND", "ORDER_NOT_FOUND")


@pytest.mark.parametrize("order_sn", ["", "1", SN[:-1], SN[:-1] + "0", "x" * 27, "99" + SN[2:]])
@pytest.mark.parametrize("name", ["GetOrderByOrderSn", "CancelOrder", "PayOrder", "CheckOrderStatus"])
async def test_a_malformed_number_is_invalid(world: World, name: str, order_sn: str) -> None:
    message = getattr(pb, f"{name}Request")(order_sn=order_sn)
    assert await refused(world, name, message) == ("INVALID_ARGUMENT", "order_sn")
    assert world.orders.asked == []


async def test_lists_have_defaults_and_a_largest_page(world: World) -> None:
    await call(world, "ListOrders", pb.ListOrdersRequest(), pb.OrderListResponse)
    await call(world, "ListOrders", pb.ListOrdersRequest(page=3, page_size=10**9), pb.OrderListResponse)
    assert [asked[2:] for asked in world.orders.asked] == [
        (OrderFilter(), 1, 20, None),
        (OrderFilter(), 3, 100, None),
    ]


async def test_lists_filter_by_status_time_and_for_admins_by_user(world: World) -> None:
    request = pb.ListOrdersRequest(
        user_id=7, status=2, start_time=Timestamp(seconds=1), end_time=Timestamp(seconds=2)
    )
    answer = await call(world, "ListOrders", request, pb.OrderListResponse, ADMIN)
    assert world.orders.asked[0][2] == OrderFilter(7, OrderStatus.PAID, None, 1000, 2000)
    assert (answer.total, answer.orders[0].order_sn, answer.next_cursor) == (1, SN, "")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListOrdersRequest(page=-1), "page"),
        (pb.ListOrdersRequest(page_size=-1), "page_size"),
        (pb.ListOrdersRequest(status=6), "status"),
        (pb.ListOrdersRequest(status=-1), "status"),
        (pb.ListOrdersRequest(start_time=Timestamp(seconds=-1)), "start_time"),
        (pb.ListOrdersRequest(end_time=Timestamp(seconds=10**15)), "end_time"),
        (pb.ListOrdersRequest(cursor="made-up"), "cursor"),
        (pb.ListOrdersRequest(cursor="é" * 300), "cursor"),
    ],
)
async def test_lists_refuse(world: World, request_: pb.ListOrdersRequest, field: str) -> None:
    assert await refused(world, "ListOrders", request_) == ("INVALID_ARGUMENT", field)


async def test_a_cursor_goes_on_in_its_own_list_only(world: World) -> None:
    world.orders.next = Cursor(NOW_MS, 11)
    cursor = (
        await call(world, "ListOrders", pb.ListOrdersRequest(status=1), pb.OrderListResponse)
    ).next_cursor
    await call(world, "ListOrders", pb.ListOrdersRequest(status=1, cursor=cursor), pb.OrderListResponse)
    assert world.orders.asked[1][5] == Cursor(NOW_MS, 11)
    for other, metadata in (
        (pb.ListOrdersRequest(cursor=cursor), None),
        (pb.ListOrdersRequest(status=1, cursor=cursor), bearer(8)),
    ):
        assert await refused(world, "ListOrders", other, metadata) == ("INVALID_ARGUMENT", "cursor")


async def test_cancel_ship_and_confirm_hand_on(world: World) -> None:
    await call(world, "CancelOrder", pb.CancelOrderRequest(order_sn=SN, reason="拍错了"), Empty)
    await call(world, "CancelOrder", pb.CancelOrderRequest(order_sn=SN, user_id=7), Empty, ADMIN)
    parcel = pb.ShipOrderRequest(order_sn=SN, logistics_company="顺丰", logistics_no="SF1")
    await call(world, "ShipOrder", parcel, metadata=ADMIN)
    await call(world, "ConfirmReceipt", pb.ConfirmReceiptRequest(order_sn=SN))
    user, admin = Actor(Role.USER, 7), Actor(Role.ADMIN, 1)
    assert world.orders.asked == [
        ("cancel", user, SN, "拍错了", 0, None),
        ("cancel", admin, SN, "", 7, None),
        ("ship", admin, SN, "顺丰", "SF1", None),
        ("confirm", user, SN, None),
    ]


async def test_several_parcels_are_not_available_yet(world: World) -> None:
    parcel = pb.ShipOrderRequest(order_sn=SN, logistics_company="顺丰", logistics_no="SF1", items=[ITEM])
    assert await refused(world, "ShipOrder", parcel, ADMIN) == ("INVALID_ARGUMENT", "items")


async def test_paying_opens_an_attempt(world: World) -> None:
    request = pb.PayOrderRequest(
        order_sn=SN, payment_type=1, trade_type="page", return_url="http://r", idempotency_key="k"
    )
    info = await call(world, "PayOrder", request, pb.PaymentInfo)
    command = world.payments.asked[0][2]
    assert (command.order_sn, command.payment_type, command.trade_type) == (SN, PaymentType.ALIPAY, "page")
    assert (command.return_url, command.key) == ("http://r", "k")
    assert (info.payment_sn, info.amount_fen, round(info.amount, 2)) == ("P" + SN, 3998, 39.98)
    assert (info.status, info.payment_url, info.HasField("paid_at")) == (1, "https://pay.example/1", False)
    assert (
        await call(world, "GetPaymentInfo", pb.GetPaymentInfoRequest(order_sn=SN), pb.PaymentInfo)
    ) == info


async def test_the_state_has_a_word_in_the_callers_language(world: World) -> None:
    ask = pb.CheckOrderStatusRequest(order_sn=SN)
    chinese = await call(world, "CheckOrderStatus", ask, pb.OrderStatusResponse)
    english = await call(
        world, "CheckOrderStatus", ask, pb.OrderStatusResponse, (*bearer(), ("accept-language", "en"))
    )
    assert (chinese.status_desc, english.status_desc, english.version) == ("待支付", "pending payment", 1)


async def test_a_gateways_notice_is_signed_over_yuan_or_fen(world: World) -> None:
    notice = pb.NotifyPaymentRequest(order_sn=SN, payment_sn="P" + SN, trade_no="t", payment_type=1, sign="s")
    notice.amount = 39.98
    await call(world, "NotifyPayment", notice, Empty, ())
    notice.amount_fen = 3998
    await call(world, "NotifyPayment", notice, Empty, ())
    by_float, by_fen = (asked[1] for asked in world.payments.asked)
    assert (by_float.amount_fen, by_float.signed["amount"]) == (3998, "39.98")
    assert (by_fen.amount_fen, by_fen.signed["amount_fen"]) == (3998, "3998")


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0, 0.001, 131_072.5])
async def test_a_float_that_is_no_whole_fen_is_refused(world: World, amount: float) -> None:
    notice = pb.NotifyPaymentRequest(order_sn=SN, payment_sn="P" + SN, amount=amount)
    assert await refused(world, "NotifyPayment", notice, ()) == ("INVALID_ARGUMENT", "AMOUNT_INEXACT")
