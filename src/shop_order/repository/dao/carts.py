"""Carts. With MySQL a change locks the cart's version, so that processes take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from shop_order.domain.entity.cart import Cart, CartLine
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import Session, StorePart, marks
from shop_order.repository.dao.placing import lock_buyers
from shop_order.repository.dao.rows import CART_LINE

T = TypeVar("T")
INSERT_LINE = f"INSERT INTO shopping_cart (user, {CART_LINE.select}) VALUES ({marks(7)})"
UPDATE_LINE = f"UPDATE shopping_cart SET {CART_LINE.changing} WHERE user = ? AND goods = ?"


class Carts(StorePart):
    """See `domain.ports.Carts`."""

    async def get(self, user: int) -> Cart:
        return await self._db.reader.submit(lambda session: load_cart(session, user))

    async def change(self, user: int, change: Callable[[Cart], T]) -> T:
        async def job(session: Session) -> T:
            await lock_buyers(session, [user])
            cart = await load_cart(session, user)
            before = dict(cart.lines)
            result = change(cart)
            if cart.lines != before:
                await save_cart(session, cart, before)
            return result

        return await self._db.writer.submit(job)


async def load_cart(session: Session, user: int) -> Cart:
    """Load the cart and its version."""
    version = await session.first("SELECT version FROM cart_version WHERE user = ?", (user,))
    found = await session.all(f"SELECT {CART_LINE.select} FROM shopping_cart WHERE user = ?", (user,))
    lines = map(rows.cart_line_of, found)
    return Cart(user, version[0] if version else 0, {line.goods: line for line in lines})


async def save_cart(session: Session, cart: Cart, before: Mapping[int, CartLine]) -> None:
    """Store the changed lines, and increment the version."""
    if not await session.run("UPDATE cart_version SET version = version + 1 WHERE user = ?", (cart.user,)):
        await session.run("INSERT INTO cart_version (user, version) VALUES (?, 1)", (cart.user,))
    for goods in before.keys() - cart.lines.keys():
        await session.run("DELETE FROM shopping_cart WHERE user = ? AND goods = ?", (cart.user, goods))
    for goods, line in cart.lines.items():
        if goods not in before:
            await session.run(INSERT_LINE, (cart.user, *CART_LINE.row(line)))
        elif line != before[goods]:
            await session.run(UPDATE_LINE, (*CART_LINE.changed(line), cart.user, goods))
