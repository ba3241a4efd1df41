"""Goods, users and the operator's routes over real sockets."""

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import GoodsStub, InventoryStub, UsersStub
from shop_sandbox import seed
from shop_sandbox.server import Sandbox


def admin(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{sandbox.http_port}", trust_env=False, verify=False)


async def test_goods_come_in_the_order_asked_and_unknown_and_deleted_ones_are_left_out(
    channel: grpc.aio.Channel,
) -> None:
    reply = await GoodsStub(channel).BatchGetGoods(
        pb.GoodsIds(ids=[seed.OFF_SALE_ID, 9, 101, seed.DELETED_ID])
    )
    assert [(one.id, one.on_sale) for one in reply.goods] == [(seed.OFF_SALE_ID, False), (101, True)]
    assert reply.goods[1].price_fen == 16_800


async def test_the_operator_changes_price_sale_and_stock(sandbox: Sandbox, channel: grpc.aio.Channel) -> None:
    async with admin(sandbox) as client:
        reply = await client.post("/admin/goods/101", json={"price_fen": 5, "on_sale": False, "stock": 7})
        assert reply.json()["stock"] == 7
        assert (await client.patch("/admin/goods/101", json={"price_fen": 0})).status_code == 400
        assert (await client.patch("/admin/goods/101", json={"stock": -1})).status_code == 400
        assert (await client.patch("/admin/goods/101", json={"colour": "red"})).status_code == 400
        assert (await client.patch("/admin/goods/101", content=b"[")).status_code == 400
        assert (await client.patch("/admin/goods/9", json={"stock": 1})).status_code == 404
        assert (await client.get("/admin/goods/9")).status_code == 404
    goods = (await GoodsStub(channel).BatchGetGoods(pb.GoodsIds(ids=[101]))).goods[0]
    assert (goods.price_fen, goods.on_sale) == (5, False)
    stock = (await InventoryStub(channel).GetStock(pb.GoodsIds(ids=[101, 9]))).stocks
    assert [(one.goods_id, one.available) for one in stock] == [(101, 7)]


async def test_the_shop_window_and_its_pictures_need_nothing_from_outside(sandbox: Sandbox) -> None:
    async with admin(sandbox) as client:
        page = (await client.get("/shop")).text
        assert "龙井茶" in page
        assert "已删除的商品" not in page
        picture = await client.get("/images/101.svg")
        assert picture.headers["content-type"] == "image/svg+xml"
    assert "http" not in page.replace("http-equiv", "").replace(f"http://127.0.0.1:{sandbox.http_port}", "")


async def test_an_address_is_shown_to_its_owner_only(channel: grpc.aio.Channel) -> None:
    users = UsersStub(channel)
    mine = await users.ListAddresses(pb.UserId(user_id=7))
    assert mine.addresses[0].is_default
    wanted = mine.addresses[0].id
    assert (await users.GetAddress(pb.AddressRequest(user_id=7, address_id=wanted))).name == "张三"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await users.GetAddress(pb.AddressRequest(user_id=8, address_id=wanted))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_balance_is_the_sum_of_its_ledger(channel: grpc.aio.Channel) -> None:
    users = UsersStub(channel)
    ledger = await users.ListLedger(pb.LedgerFilter())
    for user_id in (7, 8):
        balance = await users.GetBalance(pb.UserId(user_id=user_id))
        assert (
            balance.balance_fen == sum(one.amount_fen for one in ledger.entries if one.user_id == user_id) > 0
        )
    first = await users.ListLedger(pb.LedgerFilter(limit=1))
    assert len(first.entries) == 1
    rest = await users.ListLedger(pb.LedgerFilter(after_id=first.entries[0].id))
    assert [*first.entries, *rest.entries] == list(ledger.entries)


async def test_health_names_every_service(channel: grpc.aio.Channel) -> None:
    for name in ("", "shop.neighbours.Goods", "shop.neighbours.Inventory", "shop.neighbours.EventInbox"):
        reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_bytes_that_are_no_message_are_the_callers_fault(channel: grpc.aio.Channel) -> None:
    raw: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        "/shop.neighbours.Inventory/Reserve"
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw(b"\xff\xff\xff")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
