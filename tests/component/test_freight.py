"""Freight in the whole Shop: seen alike over both protocols, and swapped whole while orders are placed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.api.proto.shop_order_pb2_grpc import OrderStub
from tests.shop import ADDRESS, Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

FAR = {**ADDRESS, "province": "新疆维吾尔自治区"}
OLD = "pricing: {freight_fen: 800}\n"
NEW = "pricing: {freight_fen: 500, province_freight_fen: {新疆: 1500}}\n"
TO_FAR = (800, 2000)  # by the old rules and by the new ones; half of each would be 2300 or 500


class Town(Shop):
    """The Shop whose settings are in a folder."""

    def __init__(self, folder: Path, rules: str) -> None:
        self.own = folder / "own" / "own.yaml"
        self.own.parent.mkdir(parents=True)
        self.own.write_text(rules)
        super().__init__(folder, CONFIG__URL=f"file:{self.own.parent}")

    async def says(self, rules: str) -> None:
        """The operator writes another document and sends the signal."""
        draft = self.own.with_suffix(".draft")
        draft.write_text(rules)
        draft.replace(self.own)
        assert self.app is not None
        self.app.reload()

    async def follows(self, freight_fen: int) -> None:
        """Wait until the running service asks for it."""

        async def taken() -> bool:
            return bool(self.core.settings.pricing.freight_fen == freight_fen)

        await self.until(taken)

    async def place_9_1(self, **more: Any) -> pb.OrderInfo:
        """An order over the specification's service."""
        request = pb.CreateOrderRequest(
            items=[pb.OrderItemRequest(product_id=101, quantity=1)], address=pb.AddressInfo(**FAR), **more
        )
        assert self.channel is not None
        info: pb.OrderInfo = await OrderServiceStub(self.channel).CreateOrder(
            request, metadata=self.metadata()
        )
        return info


async def test_both_protocols_the_cashier_and_the_provider_tell_the_same_sums(tmp_path: Path) -> None:
    async with Town(tmp_path, NEW) as town:
        placed = await town.place(address=FAR)
        sn, total_fen = placed["order_sn"], placed["total_fen"]
        assert (placed["freight_amount"], placed["freight_fen"]) == ("20.00", 2000)
        assert placed["pay_fen"] == total_fen + 2000
        assert town.channel is not None
        stub, metadata = OrderStub(town.channel), town.metadata()
        by_9_1 = await OrderServiceStub(town.channel).GetOrderByOrderSn(
            pb.GetOrderByOrderSnRequest(order_sn=sn), metadata=metadata
        )
        assert (by_9_1.freight_amount_fen, by_9_1.pay_amount_fen) == (2000, total_fen + 2000)
        assert round(by_9_1.freight_amount, 2) == 20.0
        by_3 = (await stub.OrderDetail(shop_pb.OrderRequest(order_sn=sn), metadata=metadata)).order_info
        assert (by_3.freight_fen, by_3.total_fen) == (2000, total_fen + 2000)
        page = await town.http.get(placed["pay_url"], headers={"accept": "text/html"})
        assert "¥20.00" in page.text
        data = (await town.http.get(placed["pay_url"], headers={"accept": "application/json"})).json()["data"]
        assert (data["freight_fen"], data["pay_fen"]) == (2000, total_fen + 2000)
        attempt = await town.open_attempt(sn)
        assert attempt["amount_fen"] == total_fen + 2000
        await town.provider_does(attempt["payment_sn"], "pay")
        assert (await town.order(sn))["status"] == 2
        await town.check_doctor()


async def test_the_cart_tells_freight_and_its_checkout_may_expect_it(tmp_path: Path) -> None:
    async with Town(tmp_path, OLD) as town:
        mine = town.bearer()
        await town.http.post("/api/v1/cart/items", json={"goods_id": 101, "nums": 1}, headers=mine)
        cart = (await town.http.get("/api/v1/cart", headers=mine)).json()["data"]
        assert (cart["checked_freight_amount"], cart["checked_freight_fen"]) == ("8.00", 800)
        assert town.channel is not None
        listed = await OrderStub(town.channel).GetShoppingCart(shop_pb.UserInfo(), metadata=town.metadata())
        assert listed.checked_freight_fen == 800
        body = {"from": "cart", "address": ADDRESS, "expected_total_fen": cart["checked_total_fen"]}
        refused = (await town.http.post("/api/v1/orders", json=body, headers=mine)).json()
        assert refused["error"] == "PRICE_CHANGED"
        assert refused["details"]["freight_fen"] == 800
        assert refused["details"]["actual_fen"] == cart["checked_total_fen"] + 800
        body["expected_total_fen"] = refused["details"]["actual_fen"]
        answer = await town.http.post("/api/v1/orders", json=body, headers=mine)
        assert answer.json()["data"]["pay_fen"] == cart["checked_total_fen"] + 800


async def test_over_grpc_what_is_expected_has_the_freight_in_it(tmp_path: Path) -> None:
    async with Town(tmp_path, NEW) as town:
        placed = await town.place_9_1()
        paid_fen = placed.pay_amount_fen
        assert (await town.place_9_1(expected_total_fen=paid_fen)).freight_amount_fen == 2000
        with pytest.raises(grpc.aio.AioRpcError, match=r"运费 20.00 元|20.00 yuan of freight"):
            await town.place_9_1(expected_total_fen=placed.total_amount_fen)


async def test_every_order_placed_while_rules_are_swapped_has_the_old_ones_or_the_new(tmp_path: Path) -> None:
    async with Town(tmp_path, OLD) as town:
        done, seen = asyncio.Event(), []
        for goods in (101, 102):  # a quick machine sells what is on the shelf
            await town.sandbox.inventory.set_stock(goods, 1_000_000)

        async def buys(user: int) -> None:
            while not done.is_set():
                if user % 2:
                    placed = await town.place(user, goods=102, address=FAR)
                    sums = (placed["total_fen"], placed["freight_fen"], placed["pay_fen"])
                else:
                    info = await town.place_9_1()
                    sums = (info.total_amount_fen, info.freight_amount_fen, info.pay_amount_fen)
                seen.append(sums)

        buyers = [asyncio.create_task(buys(user)) for user in range(1, 7)]
        for rules, freight_fen in [(NEW, 500), (OLD, 800)] * 4:
            await town.says(rules)
            await town.follows(freight_fen)
            await asyncio.sleep(0.1)
        done.set()
        await asyncio.gather(*buyers)
        assert {freight_fen for _, freight_fen, _ in seen} == set(TO_FAR)
        assert all(pay_fen == total_fen + freight_fen for total_fen, freight_fen, pay_fen in seen)
        assert (await town.place(address=FAR))["freight_fen"] == 800
        await town.check_doctor()


@pytest.mark.parametrize("bad", ["freight_fen: -1", "freight_fen: eight", "province_freight_fen: {新僵: 1}"])
async def test_bad_rules_are_refused_and_the_old_ones_stay(tmp_path: Path, bad: str) -> None:
    async with Town(tmp_path, OLD) as town:
        await town.says(f"pricing: {{{bad}}}\n")

        async def degraded() -> bool:
            return "config" in (await town.http.get("/readyz")).text

        await town.until(degraded)
        assert (await town.place())["freight_fen"] == 800
        await town.says(NEW)
        await town.follows(500)
        assert "config" not in (await town.http.get("/readyz")).text
