"""The cart may show a price of some seconds ago; an order always costs what goods cost now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shop import Shop


@pytest.mark.engine("sqlite", "memory", "embedded")
async def test_the_cache_of_goods_never_prices_an_order(tmp_path: Path) -> None:
    async with Shop(tmp_path, CACHE__GOODS_TTL_S="60") as shop:
        headers = shop.bearer()
        body = {"goods_id": 101, "nums": 1}
        put = await shop.http.post("/api/v1/cart/items", json=body, headers=headers)
        assert put.status_code == 200, put.text

        async def shown_fen() -> int:
            cart = (await shop.http.get("/api/v1/cart", headers=headers)).json()["data"]
            return int(cart["items"][0]["price_fen"])

        old_fen = await shown_fen()
        await shop.sandbox.goods.set_price(101, old_fen + 700)
        assert await shown_fen() == old_fen
        order = {"from": "cart", "address": {"name": "张三", "phone": "13800138000", "detail": "人民路 1 号"}}
        placed = await shop.http.post("/api/v1/orders", json=order, headers=headers)
        assert placed.json()["data"]["total_fen"] == old_fen + 700
        assert (await shop.place())["total_fen"] == old_fen + 700
