"""The cart's use cases when a neighbour is away."""

from __future__ import annotations

import pytest

from shop_order.domain.errors import DependencyDown
from shop_order.domain.valueobject.parties import Actor, Role
from tests.world.shop import World

BUYER = Actor(Role.USER, 7)


@pytest.mark.parametrize("neighbour", ["shelf.get_many", "stock.available"])
async def test_who_is_told_that_adding_failed_may_add_again(
    world: World, monkeypatch: pytest.MonkeyPatch, neighbour: str
) -> None:
    async def down(goods_ids: object) -> None:
        raise DependencyDown("goods_service")

    with monkeypatch.context() as away:
        name, method = neighbour.split(".")
        away.setattr(getattr(world, name), method, down)
        with pytest.raises(DependencyDown):
            await world.carts.add(BUYER, 1, 2)
    assert (await world.carts.add(BUYER, 1, 2)).line.nums == 2
