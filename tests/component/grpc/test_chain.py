"""What stands before every method: the chain and its answers on the wire."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.domain.errors import DependencyDown, OutOfStock
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.web.auth.client_address import peer_address
from shop_order.web.auth.limits import Rates
from tests.component.grpc.stubs import ACTING, ADMIN, SERVICE, SN, World, bearer, token

pytestmark = pytest.mark.usefixtures("transport")

CREATE = "/order.OrderService/CreateOrder"
STATUS = "/order.OrderService/CheckOrderStatus"
ADDRESS = pb.AddressInfo(name="张三", phone="13800138000", detail="文三路 100 号")
ORDER = pb.CreateOrderRequest(items=[pb.OrderItemRequest(product_id=3, quantity=2)], address=ADDRESS)
ASK = pb.CheckOrderStatusRequest(order_sn=SN)


async def refusal(world: World, *args: Any, **options: Any) -> tuple[grpc.aio.AioRpcError, ErrorInfo]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call(*args, **options)
    status = details(caught.value)
    assert (status.code, status.message) == (caught.value.code().value[0], caught.value.details())
    info = ErrorInfo()
    status.details[0].Unpack(info)
    assert info.domain == "order.shop"
    return caught.value, info


def details(error: grpc.aio.AioRpcError) -> Status:
    found = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(found, bytes)
    return Status.FromString(found)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\xff\xff\xff\xff", id="row 51: not protobuf at all"),
        pytest.param(b"\x0a\x05ab", id="row 51: cut short"),
        pytest.param(b"\x0a\x02\xff\xfe", id="row 52: a text that is not UTF-8"),
    ],
)
async def test_bytes_that_are_not_the_message_are_the_callers_fault(world: World, raw: bytes) -> None:
    error, info = await refusal(world, STATUS, raw, pb.OrderStatusResponse)
    assert (error.code(), info.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert "DecodeError" not in str(error.details())
    assert world.orders.asked == []


async def test_unknown_fields_are_ignored(world: World) -> None:
    raw = ASK.SerializeToString() + b"\xca\x3e\x03abc"
    answer = await world.call(STATUS, raw, pb.OrderStatusResponse)
    assert answer.order_sn == SN


async def test_a_message_over_4_mib_is_refused(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call(STATUS, b"\x0a" + b"a" * (4 * 1024 * 1024 + 10), pb.OrderStatusResponse)
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED


async def test_without_a_token_nothing_is_even_decoded(world: World) -> None:
    error, info = await refusal(world, STATUS, b"\xff\xff", pb.OrderStatusResponse, ())
    assert (error.code(), info.reason) == (StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("method", "metadata"),
    [
        ("ShipOrder", bearer()),
        ("ShipOrder", ACTING),
        ("CreateOrder", ADMIN),
        ("CreateOrder", SERVICE),
        ("DecideRefund", bearer()),
        ("GetOrder", SERVICE),
    ],
)
async def test_the_role_is_looked_at_before_the_message(world: World, method: str, metadata: Any) -> None:
    error, info = await refusal(world, f"/order.OrderService/{method}", b"\xff\xff", pb.OrderInfo, metadata)
    assert (error.code(), info.reason) == (StatusCode.PERMISSION_DENIED, "FORBIDDEN")


async def test_a_service_with_act_for_is_the_user(world: World) -> None:
    await world.call(CREATE, ORDER, pb.OrderInfo, ACTING)
    assert world.orders.asked[0][1] == Actor(Role.SERVICE, 7, "user-operation")


async def test_a_refusal_names_its_reason_and_what_it_is_about(world: World) -> None:
    world.orders.fails = OutOfStock([3, 9])
    error, info = await refusal(world, CREATE, ORDER, pb.OrderInfo)
    assert (error.code(), info.reason) == (StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK")
    assert dict(info.metadata) == {"goods_ids": "3,9"}
    assert error.details() == "商品 3,9 库存不足，请减少数量或移除"


async def test_messages_follow_the_callers_language(world: World) -> None:
    world.orders.fails = OutOfStock([3])
    metadata = (*bearer(), ("accept-language", "en-GB,zh;q=0.5"))
    error, _ = await refusal(world, CREATE, ORDER, pb.OrderInfo, metadata)
    assert error.details() == "not enough stock of goods 3; reduce the quantity, or remove them"


async def test_where_a_retry_makes_sense_it_says_when(world: World) -> None:
    world.orders.fails = DependencyDown("inventory_service")
    error, _ = await refusal(world, CREATE, ORDER, pb.OrderInfo)
    retry = RetryInfo()
    assert details(error).details[1].Unpack(retry)
    assert (error.code(), retry.retry_delay.seconds) == (StatusCode.UNAVAILABLE, 1)


async def test_what_nobody_expected_is_internal_and_tells_nothing(world: World) -> None:
    world.orders.fails = RuntimeError("SELECT secret FROM /etc")
    error, info = await refusal(world, CREATE, ORDER, pb.OrderInfo)
    assert (error.code(), info.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert error.details() == "服务器内部错误，请重试；若仍然失败，请提供请求编号"
    assert "secret" not in repr(error.trailing_metadata())
    assert world.journal.lines[0] == ("unexpected error", {"method": CREATE})


async def test_the_servers_deadline_ends_a_slow_call(world: World) -> None:
    world.orders.delay_s, world.deadline_s = 5, 0.05
    error, info = await refusal(world, CREATE, ORDER, pb.OrderInfo)
    assert (error.code(), info.reason) == (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_the_callers_deadline_counts_when_it_is_shorter(world: World) -> None:
    world.orders.delay_s = 5
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call(CREATE, ORDER, pb.OrderInfo, timeout=0.1)
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


async def test_over_the_rate_a_user_is_told_when_to_come_back(world: World) -> None:
    world.rates = Rates(user_rate=1, user_burst=1)
    await world.call(STATUS, ASK, pb.OrderStatusResponse)
    error, info = await refusal(world, CREATE, ORDER, pb.OrderInfo)
    assert (error.code(), info.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert details(error).details[1].Is(RetryInfo.DESCRIPTOR)
    with pytest.raises(grpc.aio.AioRpcError) as other:
        await world.call(STATUS, ASK, pb.OrderStatusResponse, bearer(8))
    assert other.value.code() is StatusCode.NOT_FOUND  # user 8 has a limit of their own


async def test_a_large_answer_counts_as_several_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop_order.web.auth.limits.BYTES_PER_CALL", 10)
    world.rates = Rates(user_rate=1, user_burst=5)
    for method, answer, request in (
        ("/order.OrderService/ListOrders", pb.OrderListResponse, pb.ListOrdersRequest()),
        ("/shop.order.Order/OrderList", shop_pb.OrderListResponse, shop_pb.OrderFilterRequest()),
    ):
        caller = bearer(7) if method.startswith("/order") else ADMIN
        await world.call(method, request, answer, caller)
        error, info = await refusal(world, method, request, answer, caller)
        assert (error.code(), info.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


async def test_notices_need_no_token_and_meet_no_limit(world: World) -> None:
    world.rates = Rates(user_rate=1, user_burst=1, global_rate=1, global_burst=1)
    for _ in range(3):
        await world.call("/order.OrderService/NotifyPayment", pb.NotifyPaymentRequest(), pb.OrderInfo, ())
    assert len(world.payments.asked) == 3


@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        (("127.0.0.0/8",), StatusCode.OK),
        (("10.0.0.0/8", "::1"), StatusCode.PERMISSION_DENIED),
    ],
)
@pytest.mark.parametrize(
    "method", ["/order.OrderService/NotifyPayment", "/shop.order.Order/OrderPayCallback"]
)
async def test_row_40_notices_come_from_the_allow_list_only(
    method: str, allowed: tuple[str, ...], code: StatusCode
) -> None:
    world = World(callback_allow=allowed)
    server = world.server()
    world.port = await server.start()
    notice = shop_pb.OrderPayCallbackRequest(payment_type=1, raw_body=b"x")
    request = pb.NotifyPaymentRequest() if "Notify" in method else notice
    if code is StatusCode.OK:
        await world.call(method, request, pb.OrderInfo, ())
    else:
        error, _ = await refusal(world, method, request, pb.OrderInfo, ())
        assert (error.code(), world.payments.asked) == (code, [])
    await server.stop(0)


@pytest.mark.parametrize(
    ("trusted", "code"), [(("127.0.0.1",), StatusCode.OK), ((), StatusCode.PERMISSION_DENIED)]
)
async def test_the_allow_list_believes_proxies_we_trust(trusted: tuple[str, ...], code: StatusCode) -> None:
    world = World(callback_allow=("203.0.113.0/24",), trusted_proxies=trusted)
    server = world.server()
    world.port = await server.start()
    sent = ("/order.OrderService/NotifyPayment", pb.NotifyPaymentRequest(), pb.OrderInfo)
    forwarded = (("x-forwarded-for", "127.0.0.1, 203.0.113.9"),)
    if code is StatusCode.OK:
        await world.call(*sent, forwarded)
        error, _ = await refusal(world, *sent, (("x-forwarded-for", "203.0.113.9, 198.51.100.1"),))
        assert error.code() is StatusCode.PERMISSION_DENIED
    else:
        error, _ = await refusal(world, *sent, forwarded)
        assert error.code() is code
    await server.stop(0)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.1.2.3:4567", "10.1.2.3"),
        ("ipv6:%5B::1%5D:4567", "::1"),
        ("ipv6:[fe80::1]:4567", "fe80::1"),
        ("unix:/run/x", ""),
        ("", ""),
    ],
)
def test_the_peers_address(peer: str, address: str) -> None:
    assert peer_address(peer) == address


async def trailing(world: World, metadata: Any) -> dict[str, Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.port}") as channel:
        stub: Any = channel.unary_unary(CREATE, request_serializer=pb.CreateOrderRequest.SerializeToString)
        call = stub(ORDER, metadata=metadata)
        await call
        return dict(await call.trailing_metadata())


async def test_the_request_id_is_echoed_and_made_when_it_is_unfit(world: World) -> None:
    assert (await trailing(world, (*bearer(), ("x-request-id", "abc-1"))))["x-request-id"] == "abc-1"
    assert len((await trailing(world, (*bearer(), ("x-request-id", "a" * 129))))["x-request-id"]) == 24
    two = (*bearer(), ("x-request-id", "a"), ("x-request-id", "b"))
    assert len((await trailing(world, two))["x-request-id"]) == 24
    error, _ = await refusal(world, STATUS, ASK, pb.OrderStatusResponse, (("x-request-id", "abc-2"),))
    assert dict(error.trailing_metadata() or ())["x-request-id"] == "abc-2"


async def test_a_replay_is_marked(world: World) -> None:
    assert "idempotency-replayed" not in await trailing(world, bearer())
    world.orders.replayed = True
    assert (await trailing(world, bearer()))["idempotency-replayed"] == "true"


@pytest.mark.parametrize(("in_metadata", "in_field"), [("k1", ""), ("", "k1"), ("k1", "k1")])
async def test_the_key_may_come_in_metadata_or_field(world: World, in_metadata: str, in_field: str) -> None:
    request = pb.CreateOrderRequest()
    request.CopyFrom(ORDER)
    request.idempotency_key = in_field
    await world.call(CREATE, request, pb.OrderInfo, (*bearer(), ("idempotency-key", in_metadata)))
    assert world.orders.asked[0][2].key == "k1"


async def test_two_different_keys_are_refused(world: World) -> None:
    request = pb.CreateOrderRequest(idempotency_key="k2")
    request.MergeFrom(ORDER)
    error, info = await refusal(world, CREATE, request, pb.OrderInfo, (*bearer(), ("idempotency-key", "k1")))
    assert (error.code(), info.metadata["field"]) == (StatusCode.INVALID_ARGUMENT, "idempotency_key")


async def test_every_call_is_logged_and_measured_once_refused_or_not(world: World) -> None:
    await world.call(STATUS, ASK, pb.OrderStatusResponse)
    await refusal(world, STATUS, ASK, pb.OrderStatusResponse, ())
    for _ in range(1000):  # the answer may be here before its line is there
        if len(world.journal.lines) == 2:
            break
        await asyncio.sleep(0.01)
    assert world.journal.observed == [(STATUS, "OK"), (STATUS, "UNAUTHENTICATED")]
    assert [(fields["code"], fields["user_id"]) for _, fields in world.journal.lines] == [
        ("OK", 7),
        ("UNAUTHENTICATED", 0),
    ]
    assert token() not in repr(world.journal.lines)


async def test_a_calls_lines_carry_its_request_id_and_the_order_it_is_about(world: World) -> None:
    await world.call(STATUS, ASK, pb.OrderStatusResponse, (*bearer(), ("x-request-id", "abc-3")))
    assert world.journal.bound == [{"request_id": "abc-3", "order_sn": SN}]
