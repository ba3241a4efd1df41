"""Cart routes (specification 4.1)."""

from __future__ import annotations

from fastapi.responses import Response

from shop_order.domain.errors import (
    CartLineNotFound,
    GoodsUnavailable,
    InvalidArgument,
    NotYourself,
    TooMuchContention,
)
from shop_order.service.use_cases import UseCases
from shop_order.web.context import context
from shop_order.web.dto.fields import GoodsId
from shop_order.web.dto.requests import AddCartItem, CheckCart, PatchCartItem
from shop_order.web.dto.responses import CartData, CartItemData
from shop_order.web.handler.route import links, operation, success

TAG = "cart"


class CartHandler:
    """Routes below /cart."""

    def __init__(self, use_cases: UseCases) -> None:
        self._carts = use_cases.carts

    @operation(
        "GET",
        "/api/v1/cart",
        id="getCart",
        tag=TAG,
        summary="查看购物车 / Get the cart",
        description="名称、价格、上下架与库存均为实时数据；不可下单的商品仍会列出。\n\n"
        "Titles, prices, availability and stock are current; lines that can't be ordered are included.",
        data=CartData,
    )
    async def view(self) -> Response:
        """The cart with fresh goods data."""
        return await self._respond("成功", "ok")

    @operation(
        "POST",
        "/api/v1/cart/items",
        id="addCartItem",
        tag=TAG,
        summary="加入购物车 / Add to the cart",
        description="已有该商品时数量相加；最多 100 种商品，每种 999 件。\n\n"
        "Adds to the existing quantity. At most 100 lines, and 999 of each product.",
        data=CartItemData,
        errors=(GoodsUnavailable, NotYourself, TooMuchContention),
        extra=links("goods_id", "$response.body#/data/goods_id", "updateCartItem", "removeCartItem"),
    )
    async def add(self, body: AddCartItem) -> Response:
        """Add goods."""
        actor = context().caller
        context().owner(body.user_id)
        line = await self._carts.add(actor, body.goods_id, body.nums, checked=body.checked)
        return success(CartItemData.of(line), "已加入购物车", "added to the cart")

    @operation(
        "PATCH",
        "/api/v1/cart/items/{goods_id}",
        id="updateCartItem",
        tag=TAG,
        summary="修改数量或勾选 / Update a line",
        description="设置（而非累加）数量或勾选；未填写的字段不变。\n\n"
        "Sets the quantity or check mark; absent fields are unchanged.",
        data=CartData,
        errors=(CartLineNotFound, TooMuchContention),
    )
    async def update(self, goods_id: GoodsId, body: PatchCartItem) -> Response:
        """Set the quantity or the check mark of a line."""
        if body.nums is None and body.checked is None:
            raise InvalidArgument("nums", "required")
        await self._carts.update(context().caller, goods_id, nums=body.nums, checked=body.checked)
        return await self._respond("购物车已更新", "cart updated")

    @operation(
        "DELETE",
        "/api/v1/cart/items/{goods_id}",
        id="removeCartItem",
        tag=TAG,
        summary="移出购物车 / Remove a line",
        description="不存在时也返回成功。\n\nIdempotent.",
        data=CartData,
        errors=(TooMuchContention,),
    )
    async def remove(self, goods_id: GoodsId) -> Response:
        """Remove a line."""
        await self._carts.remove(context().caller, goods_id)
        return await self._respond("已移出购物车", "removed from the cart")

    @operation(
        "PUT",
        "/api/v1/cart/checked",
        id="checkCart",
        tag=TAG,
        summary="勾选一件或全部 / Check one line or all",
        description="不填 goods_id 表示全部。\n\nAll lines without goods_id.",
        data=CartData,
        errors=(CartLineNotFound, TooMuchContention),
    )
    async def check(self, body: CheckCart) -> Response:
        """Set check marks."""
        await self._carts.check(context().caller, body.checked, goods=body.goods_id or 0)
        return await self._respond("勾选已更新", "check marks updated")

    async def _respond(self, zh: str, en: str) -> Response:
        return success(CartData.of(await self._carts.view(context().caller)), zh, en)
