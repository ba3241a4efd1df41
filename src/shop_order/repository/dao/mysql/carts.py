"""Carts in MySQL: a change locks the cart's version, so those of several processes queue up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from shop_order.domain.entity.cart import Cart, CartLine
from shop_order.repository.dao import rows
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.placing import INTO_LOCK, LOCK
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.placing import insertion
from shop_order.repository.dao.rows import CART_COLUMNS

T = TypeVar("T")
INSERT_LINE = f"INSERT INTO shopping_cart (user, {CART_COLUMNS}) VALUES ({rows.marks(7)})"
UPDATE_LINE = "UPDATE shopping_cart SET nums = ?, checked = ?, updated_at = ? WHERE user = ? AND goods = ?"


class MysqlCarts:
    """See `domain.ports.Carts`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, user: int) -> Cart:
        return await self._db.reader.submit(lambda session: load_cart(session, user))

    async def change(self, user: int, change: Callable[[Cart], T]) -> T:
        async def job(session: Session) -> T:
            await session.run(insertion(INTO_LOCK, 2, 1, LOCK), (user, 0))
            cart = await load_cart(session, user)
            before = dict(cart.lines)
            result = change(cart)
            if cart.lines != before:
                await save_cart(session, cart, before)
            return result

        return await self._db.writer.submit(job)


async def load_cart(session: Session, user: int) -> Cart:
    """The cart with its version."""
    version = await session.first("SELECT version FROM cart_version WHERE user = ?", (user,))
    found = await session.all(f"SELECT {CART_COLUMNS} FROM shopping_cart WHERE user = ?", (user,))
    lines = map(rows.cart_line_of, found)
    return Cart(user, version[0] if version else 0, {line.goods: line for line in lines})


async def save_cart(session: Session, cart: Cart, before: Mapping[int, CartLine]) -> None:
    """Store what differs, and raise the version."""
    await session.run("UPDATE cart_version SET version = version + 1 WHERE user = ?", (cart.user,))
    for goods in before.keys() - cart.lines.keys():
        await session.run("DELETE FROM shopping_cart WHERE user = ? AND goods = ?", (cart.user, goods))
    for goods, line in cart.lines.items():
        updated = rows.time_text(line.updated_ms)
        if goods not in before:
            created = rows.time_text(line.created_ms)
            values = (cart.user, line.id, goods, line.nums, int(line.checked), created, updated)
            await session.run(INSERT_LINE, values)
        elif line != before[goods]:
            await session.run(UPDATE_LINE, (line.nums, int(line.checked), updated, cart.user, goods))
