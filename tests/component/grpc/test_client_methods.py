"""The published client's cart, pages, numbers by name, and log."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from shop_order.api import client as api
from shop_order.api.client import (
    AddressInfo,
    CheckOutCartRequest,
    ListOrdersRequest,
    LoggingInterceptor,
    NotFound,
    OrderClient,
    Retry,
    SyncOrderClient,
    Unavailable,
    new_order_client,
    new_sync_order_client,
)
from shop_order.domain import status
from shop_order.domain.ports import Cursor, OrderFilter, OrderPage
from shop_order.domain.status import PaymentState
from shop_order.domain.valueobject.parties import Actor
from tests.component.grpc.stubs import NOW_MS, SN, StubOrders, World, an_order, token

ADDRESS = AddressInfo("张三", "13800138000", "文三路 100 号", "浙江省", "杭州市", "西湖区")
QUICK = Retry(attempts=3, first_s=0.01)


def client_of(world: World) -> OrderClient:
    return new_order_client(f"127.0.0.1:{world.port}", token=token(), retry=QUICK)


class PagedOrders(StubOrders):
    """Three pages of two orders each."""

    async def list(
        self,
        actor: Actor,
        where: OrderFilter,
        *,
        page: int = 1,
        page_size: int = 20,
        after: Cursor | None = None,
        max_items: int | None = None,
    ) -> OrderPage:
        self.asked.append((page, page_size, after))
        first = after.id if after else 0
        shown = [an_order(id=id) for id in (first + 1, first + 2)]
        return OrderPage(shown, 6, Cursor(NOW_MS, first + 2) if first < 4 else None)


async def test_the_cart_is_filled_changed_and_bought(world: World) -> None:
    async with client_of(world) as client:
        assert (await client.add_shopping_cart(3, 2)).nums == 2
        await client.update_shopping_cart(3, 5)
        await client.update_cart_item_check(False)
        await client.update_cart_item_check(True, goods_id=3)
        await client.delete_shopping_cart(3)
        assert (await client.get_shopping_cart()).data[0].goods_id == 3
        back = "https://shop.example/"
        checkout = CheckOutCartRequest(ADDRESS, note="放门口", return_url=f"{back}ok", cancel_url=f"{back}no")
        order = await client.check_out_cart(checkout)
    assert order.order_sn == SN
    done = [(name, *rest) for name, _, *rest in world.carts.asked]
    assert done == [
        ("add", 3, 2, True),
        ("update", 3, 0, 5, None),
        ("check", False, 0, 0),
        ("check", True, 3, 0),
        ("remove", 3, 0),
    ]
    command = world.orders.asked[0][2]
    assert (command.lines, command.address.city, command.note, bool(command.key)) == (
        None,
        "杭州市",
        "放门口",
        True,
    )
    assert (command.return_url, command.cancel_url) == (f"{back}ok", f"{back}no")


async def test_so_it_is_without_an_event_loop(world: World) -> None:
    def use() -> None:
        with new_sync_order_client(f"127.0.0.1:{world.port}", token=token, retry=QUICK) as client:
            assert client.add_shopping_cart(3).nums == 2
            client.update_shopping_cart(3, 5)
            client.update_cart_item_check(True)
            client.delete_shopping_cart(3)
            assert client.get_shopping_cart().total == 1
            assert client.check_out_cart(CheckOutCartRequest(ADDRESS)).order_sn == SN

    await asyncio.to_thread(use)
    assert [name for name, *_ in world.carts.asked] == ["add", "update", "check", "remove"]


def public(kind: type[Any]) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")} - {"close"}


def test_both_clients_offer_the_same() -> None:
    assert public(OrderClient) == public(SyncOrderClient)


async def ids(orders: OrderClient, request: ListOrdersRequest | None = None) -> Sequence[int]:
    return [order.id async for order in orders.each_order(request)]


async def test_every_order_is_visited_once_page_by_page() -> None:
    world = World(orders=PagedOrders())
    server = world.server()
    world.port = await server.start()
    try:
        async with client_of(world) as client:
            assert await ids(client, ListOrdersRequest(page_size=2)) == [1, 2, 3, 4, 5, 6]
        with new_sync_order_client(f"127.0.0.1:{world.port}", token=token()) as sync:
            assert await asyncio.to_thread(lambda: [o.id for o in sync.each_order()]) == [1, 2, 3, 4, 5, 6]
    finally:
        await server.stop(0)
    assert [after and after.id for _, _, after in world.orders.asked] == [None, 2, 4] * 2


def test_numbers_have_the_names_of_the_service() -> None:
    for name in ("OrderStatus", "RefundStatus", "PaymentType"):
        ours = {member.name: member.value for member in getattr(status, name)}
        assert {member.name: member.value for member in getattr(api, name)} == ours
    assert {member.value for member in api.PaymentStatus} == {state.wire for state in PaymentState}
    assert PaymentState.CLOSED.wire == api.PaymentStatus.CLOSED


async def test_each_attempt_is_logged_without_a_secret(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shop_order.client")
    async with client_of(world) as client:
        await client.get_order(11)
        with pytest.raises(NotFound) as refused:
            await client.get_order(12)
    lines = [record.getMessage() for record in caplog.records if record.name == "shop_order.client"]
    assert [line.split()[:2] for line in lines] == [
        ["/order.OrderService/GetOrder", "OK"],
        ["/order.OrderService/GetOrder", "NOT_FOUND"],
    ]
    assert refused.value.request_id in lines[1]
    assert token() not in caplog.text and "Bearer" not in caplog.text


async def test_a_service_that_is_away_is_a_warning_for_each_attempt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shop_order.client")
    async with new_order_client("127.0.0.1:1", timeout_s=2.0, retry=QUICK) as client:
        with pytest.raises(Unavailable):
            await client.get_order(11)
    with new_sync_order_client("127.0.0.1:1", timeout_s=2.0, retry=QUICK) as sync, pytest.raises(Unavailable):
        await asyncio.to_thread(sync.get_order, 11)
    ours = [record for record in caplog.records if record.name == "shop_order.client"]
    assert [record.levelname for record in ours] == ["WARNING"] * 6
    assert len({record.getMessage().rpartition("=")[2] for record in ours}) == 2


@pytest.mark.parametrize("logged", [True, False])
async def test_a_call_that_its_caller_gives_up_ends_at_the_service_too(
    world: World, caplog: pytest.LogCaptureFixture, logged: bool
) -> None:
    caplog.set_level(logging.INFO, "shop_order.client")
    world.orders.delay_s = 30.0
    interceptors = [LoggingInterceptor()] if logged else []
    async with new_order_client(
        f"127.0.0.1:{world.port}", token=token(), timeout_s=30.0, interceptors=interceptors
    ) as client:
        call = asyncio.create_task(client.get_order(11))
        await world.orders.busy.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(4):  # the service's own deadline is later
            while not world.journal.observed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert world.journal.observed == [("/order.OrderService/GetOrder", "CANCELLED")]
    lines = [record.getMessage() for record in caplog.records if record.name == "shop_order.client"]
    assert [line.split()[1] for line in lines] == ["CANCELLED"] * logged


async def test_the_log_can_be_left_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shop_order.client")
    async with new_order_client(f"127.0.0.1:{world.port}", token=token(), interceptors=()) as client:
        await client.get_order(11)
    assert [record for record in caplog.records if record.name == "shop_order.client"] == []
