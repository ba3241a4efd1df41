"""Carts in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import TypeVar

from shop_order.domain.entity.cart import Cart
from shop_order.repository.dao import rows
from shop_order.repository.dao.rows import CART_COLUMNS
from shop_order.repository.dao.sqlite.database import Database

T = TypeVar("T")
UPSERT_LINE = (
    f"INSERT INTO shopping_cart (user, {CART_COLUMNS}) VALUES ({rows.marks(7)})"
    " ON CONFLICT (user, goods) DO UPDATE SET nums = excluded.nums, checked = excluded.checked,"
    " updated_at = excluded.updated_at"
)
NEXT_VERSION = (
    "INSERT INTO cart_version (user, version) VALUES (?, 1)"
    " ON CONFLICT (user) DO UPDATE SET version = version + 1"
)


class SqliteCarts:
    """See `domain.ports.Carts`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, user: int) -> Cart:
        return await self._db.reader.submit(lambda conn: load_cart(conn, user))

    async def change(self, user: int, change: Callable[[Cart], T]) -> T:
        def job(conn: sqlite3.Connection) -> T:
            cart = load_cart(conn, user)
            before = dict(cart.lines)
            result = change(cart)
            if cart.lines != before:
                save_cart(conn, cart, before)
            return result

        return await self._db.writer.submit(job)


def load_cart(conn: sqlite3.Connection, user: int) -> Cart:
    """The cart with its version."""
    version = conn.execute("SELECT version FROM cart_version WHERE user = ?", (user,)).fetchone()
    found = conn.execute(f"SELECT {CART_COLUMNS} FROM shopping_cart WHERE user = ?", (user,)).fetchall()
    lines = map(rows.cart_line_of, found)
    return Cart(user, version[0] if version else 0, {line.goods: line for line in lines})


def save_cart(conn: sqlite3.Connection, cart: Cart, before: Mapping[int, object]) -> None:
    """Store what differs, and raise the version."""
    conn.execute(NEXT_VERSION, (cart.user,))
    for goods in before.keys() - cart.lines.keys():
        conn.execute("DELETE FROM shopping_cart WHERE user = ? AND goods = ?", (cart.user, goods))
    for goods, line in cart.lines.items():
        if line != before.get(goods):
            created, updated = rows.time_text(line.created_ms), rows.time_text(line.updated_ms)
            values = (cart.user, line.id, goods, line.nums, int(line.checked), created, updated)
            conn.execute(UPSERT_LINE, values)
