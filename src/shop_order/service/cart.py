"""The use cases of the cart; lines are shown with current goods and stock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shop_order.domain.entity.cart import Cart, CartLine
from shop_order.domain.errors import CartLineNotFound, GoodsUnavailable, InvalidArgument
from shop_order.domain.ports import Carts, Clock, GoodsCatalogue, Stock
from shop_order.domain.valueobject.item import NO_FREIGHT, Goods, Line, Pricing
from shop_order.domain.valueobject.parties import Actor


@dataclass(frozen=True, slots=True)
class CartLineView:
    """A cart line with its current goods; `goods` is None if they were deleted."""

    line: CartLine
    goods: Goods | None
    stocks: int

    @property
    def orderable(self) -> bool:
        """Whether it can be bought now."""
        return self.goods is not None and self.goods.on_sale and self.stocks >= self.line.nums


@dataclass(frozen=True, slots=True)
class CartView:
    """The cart as its buyer sees it."""

    user: int
    version: int
    lines: tuple[CartLineView, ...]
    pricing: Pricing = NO_FREIGHT

    @property
    def checked_total_fen(self) -> int:
        """The total of the checked lines that can be bought."""
        return sum(view.goods.price_fen * view.line.nums for view in self._to_buy if view.goods)

    @property
    def checked_freight_fen(self) -> int:
        """Their freight, without surcharges of provinces, since a cart has no address."""
        return self.pricing.freight_of(self.checked_total_fen) if self._to_buy else 0

    @property
    def _to_buy(self) -> list[CartLineView]:
        return [view for view in self.lines if view.line.checked and view.orderable]


@dataclass(kw_only=True, eq=False)
class CartService:
    """The use cases of the cart (specification 4.1)."""

    carts: Carts
    goods: GoodsCatalogue
    stock: Stock
    clock: Clock
    next_id: Callable[[], int]
    pricing: Callable[[], Pricing]
    shown: GoodsCatalogue  # for goods that are only shown: may be cached

    async def view(self, actor: Actor) -> CartView:
        """The cart with current stock, and goods that may be some seconds old.

        Raises DependencyDown, DeadlineExceeded.
        """
        return await self._show(await self.carts.get(actor.buyer_id()))

    async def add(self, actor: Actor, goods: int, nums: int = 1, *, checked: bool = True) -> CartLineView:
        """Add goods to the cart.

        Raises GoodsUnavailable (unknown or off sale), InvalidArgument, DependencyDown, DeadlineExceeded.
        """
        user = actor.buyer_id()
        Line(goods, nums)
        # All that may fail comes before the change: after an error the caller adds again.
        fresh, stocks = await asyncio.gather(self.goods.get_many([goods]), self.stock.available([goods]))
        found = fresh.get(goods)
        if found is None or not found.on_sale:
            raise GoodsUnavailable([goods])
        line = await self.carts.change(
            user, lambda cart: cart.add(goods, nums, checked=checked, id=self.next_id(), now_ms=self.clock())
        )
        return CartLineView(line, found, stocks.get(goods, 0))

    async def update(
        self, actor: Actor, goods: int, *, id: int = 0, nums: int | None = None, checked: bool | None = None
    ) -> None:
        """Set the quantity or the check mark of the line of `goods`, or of the line `id` if `goods` is 0.

        Raises CartLineNotFound, InvalidArgument.
        """

        def change(cart: Cart) -> None:
            line = find_line(cart, goods, id)
            cart.update(line.goods, nums=nums, checked=checked, now_ms=self.clock())

        await self.carts.change(actor.buyer_id(), change)

    async def check(self, actor: Actor, checked: bool, *, goods: int = 0, id: int = 0) -> None:
        """Set the check mark of one line, or of all without goods and id. Raises CartLineNotFound."""
        if goods or id:
            return await self.update(actor, goods, id=id, checked=checked)
        await self.carts.change(
            actor.buyer_id(), lambda cart: cart.set_all_checked(checked, now_ms=self.clock())
        )

    async def remove(self, actor: Actor, goods: int, *, id: int = 0) -> None:
        """Remove a line, if it is there. Raises InvalidArgument."""

        def change(cart: Cart) -> None:
            try:
                cart.remove([find_line(cart, goods, id).goods])
            except CartLineNotFound:
                return

        await self.carts.change(actor.buyer_id(), change)

    async def _show(self, cart: Cart) -> CartView:
        ids = sorted(cart.lines)
        if not ids:
            return CartView(cart.user, cart.version, (), self.pricing())
        goods, stocks = await asyncio.gather(self.shown.get_many(ids), self.stock.available(ids))
        lines = sorted(cart.lines.values(), key=lambda line: (line.created_ms, line.id))
        views = tuple(CartLineView(line, goods.get(line.goods), stocks.get(line.goods, 0)) for line in lines)
        return CartView(cart.user, cart.version, views, self.pricing())


def find_line(cart: Cart, goods: int, id: int) -> CartLine:
    """The line of these goods or with this id; if both are given, they must match.

    Raises CartLineNotFound, InvalidArgument.
    """
    if goods < 0 or id < 0 or not (goods or id):
        raise InvalidArgument("goods_id", "goods_id_or_id")
    line = cart.line(goods) if goods else cart.line_by_id(id)
    if id and line.id != id:
        raise InvalidArgument("id", "other_line")
    return line
