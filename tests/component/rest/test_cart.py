"""The cart over REST."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from shop_order.web.dto.responses import CartData, CartItemData
from tests.component.rest.front import Rest, admin, refused, token
from tests.world.shop import World


async def test_adding_merges_with_what_is_there(rest: Rest) -> None:
    first = await rest.data("POST", "/cart/items", {"goods_id": "1"})
    CartItemData.model_validate(first, strict=True)
    second = await rest.data("POST", "/cart/items", {"goods_id": 1, "nums": 2})
    assert (first["nums"], second["nums"]) == (1, 3)
    cart = await rest.data("GET", "/cart")
    CartData.model_validate(cart, strict=True)
    assert (cart["total"], cart["checked_total_amount"], cart["checked_total_fen"]) == (1, "59.97", 5997)


async def test_concurrent_additions_lose_nothing(rest: Rest) -> None:
    await asyncio.gather(*(rest.data("POST", "/cart/items", {"goods_id": 1}) for _ in range(10)))
    assert (await rest.data("GET", "/cart"))["items"][0]["nums"] == 10


async def test_goods_that_are_gone_are_shown_but_cant_be_ordered(rest: Rest, world: World) -> None:
    await rest.data("POST", "/cart/items", {"goods_id": 1})
    await rest.data("POST", "/cart/items", {"goods_id": 2, "nums": 8})
    await rest.data("POST", "/cart/items", {"goods_id": 3})
    world.shelf.goods[1] = replace(world.shelf.goods[1], on_sale=False)
    del world.shelf.goods[3]
    cart = await rest.data("GET", "/cart")
    CartData.model_validate(cart, strict=True)
    off_sale, short, deleted = cart["items"]
    assert (off_sale["on_sale"], off_sale["orderable"]) == (False, False)
    assert (short["stocks"], short["orderable"]) == (7, False)
    assert (deleted["goods_name"], deleted["price_fen"], deleted["orderable"]) == (None, None, False)
    assert cart["checked_total_fen"] == 0


async def test_a_line_is_set_checked_and_taken_out(rest: Rest) -> None:
    await rest.data("POST", "/cart/items", {"goods_id": 1})
    await rest.data("POST", "/cart/items", {"goods_id": 2})
    assert (await rest.data("PATCH", "/cart/items/1", {"nums": 5}))["items"][0]["nums"] == 5
    one = await rest.data("PUT", "/cart/checked", {"checked": False, "goods_id": "1"})
    assert [item["checked"] for item in one["items"]] == [False, True]
    every = await rest.data("PUT", "/cart/checked", {"checked": True})
    assert [item["checked"] for item in every["items"]] == [True, True]
    assert (await rest.data("DELETE", "/cart/items/1"))["total"] == 1
    assert (await rest.data("DELETE", "/cart/items/1"))["total"] == 1


async def test_what_cant_be_in_a_cart_is_refused(rest: Rest) -> None:
    wrong: list[Any] = [{"goods_id": 1, "nums": 0}, {"goods_id": 1, "nums": 1000}, {"goods_id": 0}]
    for body in [*wrong, {"nums": 1}, [], {}]:
        refused(await rest.call("POST", "/cart/items", body), 400, "INVALID_ARGUMENT")
    refused(await rest.call("POST", "/cart/items", {"goods_id": 9}), 409, "GOODS_UNAVAILABLE")
    refused(await rest.call("POST", "/cart/items", {"goods_id": 1, "user_id": 8}), 403, "NOT_YOURSELF")
    refused(await rest.call("PATCH", "/cart/items/1", {"nums": 1}), 404, "CART_LINE_NOT_FOUND")
    refused(await rest.call("PATCH", "/cart/items/1", {}), 400, "INVALID_ARGUMENT")
    refused(await rest.call("PATCH", "/cart/items/x", {"nums": 1}), 400, "INVALID_ARGUMENT")
    refused(await rest.call("DELETE", "/cart/items/0"), 400, "INVALID_ARGUMENT")
    refused(
        await rest.call("PUT", "/cart/checked", {"checked": True, "goods_id": 1}), 404, "CART_LINE_NOT_FOUND"
    )
    refused(await rest.call("PUT", "/cart/checked", {"checked": 1}), 400, "INVALID_ARGUMENT")
    await rest.data("POST", "/cart/items", {"goods_id": 1, "nums": 999})
    refused(await rest.call("POST", "/cart/items", {"goods_id": 1}), 400, "INVALID_ARGUMENT")


async def test_each_user_has_a_cart_and_operators_have_none(rest: Rest) -> None:
    await rest.data("POST", "/cart/items", {"goods_id": 1})
    assert (await rest.data("GET", "/cart", as_=token(8)))["total"] == 0
    refused(await rest.call("GET", "/cart", as_=admin()), 403, "FORBIDDEN")
