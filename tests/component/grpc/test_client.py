"""The published client: typed errors, deadlines, and repeating only what may be repeated."""

import asyncio
import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shop_order.api.client import (
    AddressInfo,
    CreateOrderRequest,
    DeadlineExceeded,
    IllegalTransition,
    InvalidArgument,
    ListOrdersRequest,
    NotFound,
    OrderApiError,
    OrderClient,
    OrderItemRequest,
    OutOfStock,
    PayOrderRequest,
    Retry,
    Unauthenticated,
    Unavailable,
    new_order_client,
    new_sync_order_client,
)
from shop_order.domain.errors import DependencyDown, RateLimited
from shop_order.domain.errors import IllegalTransition as IllegalTransitionRefusal
from shop_order.domain.errors import OutOfStock as OutOfStockRefusal
from tests.component.grpc.stubs import SN, World, token

ORDER = CreateOrderRequest([OrderItemRequest(3, 2)], AddressInfo("张三", "13800138000", "文三路 100 号"))
QUICK = Retry(attempts=3, first_s=0.01)


def failing_first(world: World, *failures: Exception) -> None:
    """Let the next calls fail in turn, then succeed."""
    left = list(failures)
    real = world.orders.answer

    async def answer(*asked: object) -> object:
        world.orders.fails = left.pop(0) if left else None
        return await real(*asked)

    world.orders.answer = answer  # type: ignore[assignment,method-assign]


def client_of(world: World, retry: Retry = QUICK, timeout_s: float = 5.0) -> OrderClient:
    return new_order_client(f"127.0.0.1:{world.port}", timeout_s=timeout_s, token=token(), retry=retry)


def test_the_items_of_an_order_may_be_any_sequence() -> None:
    items = ORDER.items
    assert CreateOrderRequest(deque(items), ORDER.address).message() == ORDER.message()
    assert [item.quantity for item in CreateOrderRequest(tuple(items), ORDER.address).message().items] == [2]


async def test_it_does_what_9_4_promises(world: World) -> None:
    async with client_of(world) as client:
        assert (await client.create_order(ORDER)).order_sn == SN
        assert (await client.get_order(11)).order_sn == SN
        assert (await client.get_order_by_order_sn(SN, 7)).id == 11
        listed = await client.list_orders(ListOrdersRequest(start_time=datetime(2026, 11, 1, tzinfo=UTC)))
        assert listed.total == 1
        await client.cancel_order(SN, reason="拍错了")
        assert (await client.check_order_status(SN)).status == 1
        assert (await client.confirm_receipt(SN)).order_sn == SN
        assert (await client.pay_order(PayOrderRequest(SN, 1))).payment_sn == "P" + SN
        assert (await client.get_payment_info(SN)).amount_fen == 3998
    assert world.payments.asked[0][2].key and world.orders.asked[0][2].key


async def test_an_order_names_the_shops_pages(world: World) -> None:
    async with client_of(world) as client:
        await client.create_order(replace(ORDER, return_url="http://r", cancel_url="http://c"))
    command = world.orders.asked[0][2]
    assert (command.return_url, command.cancel_url) == ("http://r", "http://c")


async def test_so_does_the_one_without_an_event_loop(world: World) -> None:
    def use() -> None:
        with new_sync_order_client(f"127.0.0.1:{world.port}", token=token, retry=QUICK) as client:
            assert client.create_order(ORDER).order_sn == SN
            assert client.list_orders().total == 1
            with pytest.raises(NotFound):
                client.with_token(token(8)).get_order(11)

    await asyncio.to_thread(use)


async def test_a_refusal_is_typed(world: World) -> None:
    world.orders.fails = OutOfStockRefusal([3, 9])
    async with client_of(world) as client:
        with pytest.raises(OutOfStock) as caught:
            await client.create_order(ORDER)
        with pytest.raises(Unauthenticated):
            await client.with_token("nobody").get_order(11)
    error = caught.value
    assert (error.goods_ids, error.reason, len(error.request_id)) == ((3, 9), "OUT_OF_STOCK", 24)


async def test_a_refused_field_is_named_by_its_path(world: World) -> None:
    async with client_of(world) as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.create_order(replace(ORDER, items=[OrderItemRequest(3, 1), OrderItemRequest(3, 0)]))
    assert (caught.value.field, caught.value.problem) == ("items[1].nums", "out_of_range")
    assert (caught.value.details["min"], caught.value.details["max"]) == ("1", "999")


async def test_a_move_that_is_not_allowed_says_why(world: World) -> None:
    world.orders.fails = IllegalTransitionRefusal("PAID", "COMPLETED")
    async with client_of(world) as client:
        with pytest.raises(IllegalTransition) as caught:
            await client.confirm_receipt(SN)
    assert (caught.value.reason, caught.value.problem) == ("ILLEGAL_TRANSITION", "not_shipped")


async def test_a_read_is_repeated_while_the_service_is_away(world: World) -> None:
    failing_first(world, DependencyDown("goods_service"))
    async with client_of(world) as client:
        started = time.monotonic()
        assert (await client.get_order(11)).order_sn == SN
    assert time.monotonic() - started >= 1.0  # RetryInfo says one second
    assert len(world.orders.asked) == 2


async def test_an_order_is_repeated_under_one_key(world: World) -> None:
    failing_first(world, RateLimited(0.01), RateLimited(0.01))
    async with client_of(world) as client:
        await client.create_order(ORDER)
    keys = {asked[2].key for asked in world.orders.asked}
    assert (len(world.orders.asked), len(keys)) == (3, 1)


async def test_attempts_are_counted(world: World) -> None:
    failing_first(world, *[RateLimited(0.01)] * 9)
    async with client_of(world) as client:
        with pytest.raises(OrderApiError, match="RATE_LIMITED"):
            await client.get_order(11)
    assert len(world.orders.asked) == 3


async def test_what_may_not_be_repeated_is_not(world: World) -> None:
    failing_first(world, RateLimited(0.01), DependencyDown("goods_service"))
    async with client_of(world) as client:
        with pytest.raises(OrderApiError):
            await client.cancel_order(SN)
        with pytest.raises(Unavailable):
            await client.confirm_receipt(SN)
    assert len(world.orders.asked) == 2


async def test_a_refusal_is_never_repeated(world: World) -> None:
    failing_first(world, OutOfStockRefusal([3]))
    async with client_of(world) as client:
        with pytest.raises(OutOfStock):
            await client.create_order(ORDER)
    assert len(world.orders.asked) == 1


async def test_the_deadline_covers_all_attempts(world: World) -> None:
    world.orders.delay_s = 5
    async with client_of(world, timeout_s=0.2) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await client.get_order(11)
        assert time.monotonic() - started < 1.0


async def test_nothing_is_waited_for_that_the_deadline_would_not_outlast(world: World) -> None:
    failing_first(world, DependencyDown("goods_service"))
    async with client_of(world, timeout_s=0.5) as client:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await client.get_order(11)
        assert time.monotonic() - started < 0.4


async def test_a_service_that_is_not_there_is_unavailable() -> None:
    async with new_order_client("127.0.0.1:1", timeout_s=1.0, retry=QUICK) as client:
        with pytest.raises(Unavailable):
            await client.get_order(11)


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="start_time"):
        ListOrdersRequest(start_time=datetime(2026, 11, 1)).message()  # noqa: DTZ001 - that is the point
