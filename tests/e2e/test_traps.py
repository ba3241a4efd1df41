"""The traps other order services fell into, sprung on ourselves (and what their users report most)."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.api.proto.shop_order_pb2_grpc import OrderStub
from shop_order.domain.valueobject.parties import Role
from shop_sandbox.goods import Article
from tests.shop import ADDRESS, Shop

if TYPE_CHECKING:
    from shop_order.api.proto.order_pb2_grpc import OrderServiceAsyncStub
    from shop_order.api.proto.shop_order_pb2_grpc import OrderAsyncStub

ORDERS = "/api/v1/orders"
CART = "/api/v1/cart"
GOODS = 60_001
TO = pb.AddressInfo(name="张三", phone="13800138000", detail="人民路 1 号")


async def sell(shop: Shop, stock: int, *, price_fen: int = 1000, goods: int = GOODS) -> int:
    """New goods on the shelf: their id."""
    await shop.sandbox.goods.add(Article(goods, "陷阱", "", price_fen))
    await shop.sandbox.inventory.set_stock(goods, stock)
    return goods


async def left(shop: Shop, goods: int = GOODS) -> int:
    """What can be bought now."""
    found: Mapping[int, int] = await shop.core.stock.available([goods])
    return found[goods]


async def try_to_buy(
    shop: Shop, user: int, *, goods: int = GOODS, key: str = "", **body: Any
) -> httpx.Response:
    """One attempt over REST, whatever comes back."""
    wanted = {"items": [{"goods_id": goods, "nums": 1}], "address": ADDRESS, **body}
    headers = shop.bearer(user) | ({"Idempotency-Key": key} if key else {})
    return await shop.http.post(ORDERS, json=wanted, headers=headers)


async def listed(shop: Shop, user: int) -> Mapping[str, Any]:
    """The user's own list."""
    data: Mapping[str, Any] = (await shop.http.get(ORDERS, headers=shop.bearer(user))).json()["data"]
    return data


async def stock_comes_back(shop: Shop, stock: int) -> None:
    """The check-back finds what nobody owns."""

    async def back() -> bool:
        return await left(shop) == stock

    await shop.until(back)


def chapter_9(shop: Shop) -> OrderServiceAsyncStub:
    """The service of specification 9.1."""
    assert shop.channel is not None
    return OrderServiceStub(shop.channel)


def chapter_3(shop: Shop) -> OrderAsyncStub:
    """The service of specification 3."""
    assert shop.channel is not None
    return OrderStub(shop.channel)


@pytest.fixture
async def short_lease(tmp_path: Path) -> AsyncIterator[Shop]:
    """A Shop whose stock is held for one second before the owner asks."""
    async with Shop(tmp_path, ORDER__LEASE_S="1") as shop:
        yield shop


# ---- order services of our lineage, by number ----


async def test_1_a_crash_between_stock_and_commit_costs_no_stock(
    short_lease: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = short_lease
    await sell(shop, 5)
    store = shop.core.store.orders

    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add", crash)
        answer = await try_to_buy(shop, 7, key="crash")
    assert (answer.status_code, answer.json()["error"]) == (500, "INTERNAL")
    assert "killed" not in answer.text
    assert await left(shop) == 4
    await stock_comes_back(shop, 5)
    assert (await try_to_buy(shop, 7, key="crash")).status_code == 200
    await shop.check_doctor()


async def test_1_a_crash_after_the_commit_loses_no_order(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await sell(shop, 5)
    store = shop.core.store.orders
    really_add = store.add

    async def commit_and_crash(*args: Any, **more: Any) -> None:
        await really_add(*args, **more)
        raise RuntimeError("killed after the commit")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add", commit_and_crash)
        assert (await try_to_buy(shop, 7, key="crash")).status_code == 500
    retried = await try_to_buy(shop, 7, key="crash")
    assert retried.headers["Idempotency-Replayed"] == "true"
    assert [one["order_sn"] for one in (await listed(shop, 7))["items"]] == [
        retried.json()["data"]["order_sn"]
    ]
    assert await left(shop) == 4
    await shop.check_doctor()


def resources() -> tuple[int, int]:
    """Open files of this process, and its threads."""
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    return len(os.listdir(folder)), threading.active_count()


@pytest.mark.parametrize("callers", [16])
async def test_2_3_5_five_hundred_orders_open_no_file_thread_or_connection_more(
    shop: Shop, callers: int
) -> None:
    await sell(shop, 100_000)
    await sell(shop, 0, goods=GOODS + 1)
    stub = chapter_9(shop)
    counted = iter(range(10_000))

    async def buy(until: int) -> None:
        while (number := next(counted)) < until:
            goods = GOODS if number % 5 else GOODS + 1  # every fifth goes the way of an error
            request = pb.CreateOrderRequest(
                items=[pb.OrderItemRequest(product_id=goods, quantity=1)], address=TO
            )
            call = stub.CreateOrder(request, metadata=shop.metadata(100 + number % 7))
            assert (await call.code()).name == ("OK" if goods == GOODS else "FAILED_PRECONDITION")

    await asyncio.gather(*(buy(100) for _ in range(callers)))
    before = resources()
    await asyncio.gather(*(buy(600) for _ in range(callers)))
    files, threads = resources()
    assert files <= before[0] + 2
    assert threads <= before[1] + 1
    await shop.check_doctor()


async def test_4_a_sold_out_answer_blocks_nobody(shop: Shop) -> None:
    await sell(shop, 100)
    await sell(shop, 0, goods=GOODS + 1)
    both: dict[str, Any] = {"items": [{"goods_id": goods, "nums": 1} for goods in (GOODS, GOODS + 1)]}
    for _ in range(3):
        refused = await try_to_buy(shop, 7, **both)
        assert refused.json()["details"] == {"goods_ids": str(GOODS + 1)}
    async with asyncio.timeout(5):
        mixed = [try_to_buy(shop, user, **(both if user % 2 else {})) for user in range(20, 40)]
        codes = [answer.status_code for answer in await asyncio.gather(*mixed)]
    assert codes == [200, 409] * 10
    assert await left(shop) == 90
    await shop.check_doctor()


async def test_6_a_price_of_123496_76_is_exact_to_the_fen_everywhere(shop: Shop) -> None:
    await sell(shop, 5, price_fen=12_349_676)
    order = await shop.place(goods=GOODS)
    assert (order["pay_amount"], order["pay_fen"]) == ("123496.76", 12_349_676)
    assert order["items"][0]["price_amount"] == "123496.76"
    stub = chapter_9(shop)
    seen = await stub.GetOrderByOrderSn(
        pb.GetOrderByOrderSnRequest(order_sn=order["order_sn"]), metadata=shop.metadata(7)
    )
    assert seen.pay_amount_fen == seen.items[0].price_fen == 12_349_676
    assert seen.pay_amount == struct.unpack("<f", struct.pack("<f", 123496.76))[0]
    attempt = await shop.open_attempt(order["order_sn"])
    told = await shop.provider_does(attempt["payment_sn"], "pay")
    assert (told["total_amount"], told["body"]) == ("123496.76", "success")
    paid = await shop.order(order["order_sn"])
    assert (paid["status"], paid["payments"][0]["amount_fen"]) == (2, 12_349_676)
    await shop.check_doctor()


async def test_7_a_list_shows_only_its_owners_orders_and_counts_them(shop: Shop) -> None:
    mine = {(await shop.place(7))["order_sn"] for _ in range(3)}
    others = {(await shop.place(8))["order_sn"] for _ in range(2)}
    seven, eight, nine = [await listed(shop, user) for user in (7, 8, 9)]
    assert ({one["order_sn"] for one in seven["items"]}, seven["total"]) == (mine, 3)
    assert ({one["order_sn"] for one in eight["items"]}, eight["total"]) == (others, 2)
    assert (nine["items"], nine["total"]) == ([], 0)
    stub = chapter_3(shop)
    page = await stub.OrderList(shop_pb.OrderFilterRequest(), metadata=shop.metadata(8))
    assert ({one.order_sn for one in page.data}, page.total) == (others, 2)
    admin = shop.bearer(1, role=Role.ADMIN)
    everybody = await shop.http.get(ORDERS, headers=admin)
    one = await shop.http.get(ORDERS, params={"user_id": 8}, headers=admin)
    assert everybody.json()["data"]["total"] == 5
    assert one.json()["data"]["total"] == 2


async def test_8_goods_land_in_the_cart_of_who_put_them_there(shop: Shop) -> None:
    stub = chapter_3(shop)
    line = await stub.AddShoppingCart(
        shop_pb.CartItemRequest(goods_id=101, nums=2), metadata=shop.metadata(7)
    )
    by_line = shop_pb.CartItemRequest(id=line.id, nums=5)
    theirs = stub.UpdateShoppingCart(by_line, metadata=shop.metadata(8))
    assert (await theirs.code()).name == "NOT_FOUND"
    await stub.DeleteShoppingCart(shop_pb.CartItemRequest(id=line.id), metadata=shop.metadata(8))
    mine = await stub.GetShoppingCart(shop_pb.UserInfo(), metadata=shop.metadata(7))
    other = await stub.GetShoppingCart(shop_pb.UserInfo(), metadata=shop.metadata(8))
    assert [(one.goods_id, one.nums, one.user_id) for one in mine.data] == [(101, 2, 7)]
    assert list(other.data) == []


@pytest.mark.parametrize("phone", ["13800138000", "+491701234567", "+123456789012345"])
async def test_9_long_user_ids_and_foreign_phones_can_order_and_pay(shop: Shop, phone: str) -> None:
    user = 2**63 - 1
    order = await shop.paid(user, goods=110, address=ADDRESS | {"phone": phone})
    assert (order["status"], order["user_id"], order["address"]["phone"]) == (2, str(user), phone)
    assert (await listed(shop, user))["total"] == 1
    await shop.check_doctor()


async def test_10_a_retry_finds_its_order_though_the_cart_was_emptied(shop: Shop) -> None:
    stub = chapter_3(shop)
    await stub.AddShoppingCart(shop_pb.CartItemRequest(goods_id=101), metadata=shop.metadata(7))
    request = shop_pb.OrderRequest(
        name="张三", mobile="13800138000", address="人民路 1 号", idempotency_key="lost"
    )
    first = await stub.CreateOrder(request, metadata=shop.metadata(7))
    second = await stub.CreateOrder(request, metadata=shop.metadata(7))
    assert first.order_sn == second.order_sn
    without = stub.CreateOrder(
        shop_pb.OrderRequest(name="张三", mobile="13800138000", address="人民路 1 号"),
        metadata=shop.metadata(7),
    )
    assert (await without.code()).name == "INVALID_ARGUMENT"
    assert (await listed(shop, 7))["total"] == 1


async def test_11_an_order_slower_than_its_lease_is_given_up_with_its_goods(
    short_lease: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = short_lease
    await sell(shop, 5)
    store = shop.core.store.orders
    really_add = store.add

    async def slow(*args: Any, **more: Any) -> None:
        await stock_comes_back(shop, 5)  # the lease ran out, its owner asked, and nobody knew the order
        await really_add(*args, **more)

    with monkeypatch.context() as slowed:
        slowed.setattr(store, "add", slow)
        refused = await try_to_buy(shop, 7, key="slow")
    assert (refused.status_code, refused.json()["error"]) == (409, "PLACING_GIVEN_UP")
    assert await left(shop) == 5
    assert (await listed(shop, 7))["total"] == 0
    assert (await try_to_buy(shop, 7, key="slow")).status_code == 200
    await shop.check_doctor()


async def test_11_stock_is_never_written_back_as_an_absolute_value(shop: Shop) -> None:
    await sell(shop, 50)
    placed = [await shop.place(user, goods=GOODS) for user in range(10, 30)]

    async def cancel(order: Mapping[str, Any]) -> None:
        await shop.http.post(
            f"{ORDERS}/{order['order_sn']}/cancel", headers=shop.bearer(int(order["user_id"]))
        )

    await asyncio.gather(
        *(cancel(order) for order in placed[:10]), *(try_to_buy(shop, user) for user in range(40, 60))
    )
    await shop.check_doctor()
    assert await left(shop) == 50 - 20 + 10 - 20


# ---- the Node platform: 20 in stock, 16 callers, 60 sold ----


async def test_twenty_in_stock_and_sixteen_callers_sell_twenty(shop: Shop) -> None:
    await sell(shop, 20)

    async def caller(user: int) -> list[int]:
        return [(await try_to_buy(shop, user)).status_code for _ in range(5)]

    answers = await asyncio.gather(*(caller(user) for user in range(100, 116)))
    codes = [code for own in answers for code in own]
    assert codes.count(200) == 20
    assert set(codes) == {200, 409}
    assert await left(shop) == 0
    await shop.check_doctor()


async def test_concurrent_payment_calls_share_one_attempt(shop: Shop) -> None:
    order = await shop.place()
    answers = await asyncio.gather(
        *(
            shop.http.post(
                f"{ORDERS}/{order['order_sn']}/pay", json={"payment_type": "alipay"}, headers=shop.bearer(7)
            )
            for _ in range(16)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["data"]["payment_sn"] for answer in answers}) == 1
    assert len((await shop.order(order["order_sn"]))["payments"]) == 1
    await shop.check_doctor()


async def test_a_retry_after_success_answers_the_order_as_it_is_now(shop: Shop) -> None:
    first = (await try_to_buy(shop, 7, goods=101, key="once")).json()["data"]
    attempt = await shop.open_attempt(first["order_sn"])
    await shop.provider_does(attempt["payment_sn"], "pay")
    again = (await try_to_buy(shop, 7, goods=101, key="once")).json()["data"]
    assert (again["order_sn"], again["status"]) == (first["order_sn"], 2)
