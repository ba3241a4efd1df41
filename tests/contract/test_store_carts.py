"""Carts: a version a user, and no change is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from shop_order.domain.entity.cart import Cart, CartLine
from shop_order.domain.errors import InvalidArgument
from shop_order.repository.dao.store import Store
from tests.contract.engine import NOW_MS, Engine


def put(goods: int, nums: int = 1, id: int = 0) -> Callable[[Cart], CartLine]:
    return lambda cart: cart.add(goods, nums, checked=True, id=id or goods, now_ms=NOW_MS)


async def test_a_cart_nobody_used_is_empty_at_version_0(store: Store) -> None:
    assert await store.carts.get(7) == Cart(7, 0)


async def test_every_change_raises_the_version_and_survives_a_restart(engine: Engine) -> None:
    line = await engine.store.carts.change(7, put(1, 2))
    await engine.store.carts.change(7, put(2))
    await engine.store.carts.change(7, lambda cart: cart.remove([2]))
    await engine.store.carts.change(7, lambda cart: cart.update(1, nums=5, checked=False, now_ms=NOW_MS + 1))
    cart = await (await engine.reopen()).carts.get(7)
    assert cart.version == 4
    assert [(c.goods, c.nums, c.checked, c.created_ms, c.updated_ms) for c in cart.lines.values()] == [
        (1, 5, False, NOW_MS, NOW_MS + 1)
    ]
    assert cart.lines[1].id == line.id


async def test_a_change_that_changes_nothing_leaves_the_version(store: Store) -> None:
    await store.carts.change(7, put(1))
    await store.carts.change(7, lambda cart: cart.remove([9]))
    await store.carts.change(7, lambda cart: cart.set_all_checked(True, now_ms=NOW_MS + 1))
    assert (await store.carts.get(7)).version == 1


async def test_a_refused_change_leaves_the_cart_as_it_was(store: Store) -> None:
    await store.carts.change(7, put(1, 999))
    with pytest.raises(InvalidArgument):
        await store.carts.change(7, put(1))
    cart = await store.carts.get(7)
    assert (cart.version, cart.lines[1].nums) == (1, 999)


async def test_of_concurrent_changes_none_is_lost(store: Store) -> None:
    await asyncio.gather(
        *(store.carts.change(user, put(1, id=user * 100 + n)) for n in range(30) for user in (7, 8))
    )
    for user in (7, 8):
        cart = await store.carts.get(user)
        assert (cart.lines[1].nums, cart.version, len(cart.lines)) == (30, 30, 1)


async def test_carts_of_two_users_do_not_touch(store: Store) -> None:
    await store.carts.change(7, put(1, id=1))
    await store.carts.change(8, put(1, 5, id=2))
    await store.carts.change(8, lambda cart: cart.remove([1]))
    assert (await store.carts.get(7)).lines[1].nums == 1
    assert (await store.carts.get(8)).lines == {}
