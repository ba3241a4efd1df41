"""What is kept at the same moment does not end at the same moment, and never lives longer than it may."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.repository.cache.goods import CachedGoods
from shop_order.repository.cache.orders import OrderTimes, OrderViews
from tests.contract.engine import GOODS, NOW_MS, order

SHARES = (0.0, 0.25, 0.5, 0.99)


class Lives:
    """An empty cache that remembers how long what was put may live."""

    up = True

    def __init__(self) -> None:
        self.ms: list[int] = []

    async def get(self, key: str) -> None:
        return None

    async def put(self, key: str, version: int, value: bytes, lasts_ms: int) -> bool:
        self.ms.append(lasts_ms)
        return True


class Known:
    """A database with one order."""

    def __init__(self, kept: Order) -> None:
        self.kept = kept

    async def get(self, order_sn: str) -> Order:
        if order_sn != self.kept.order_sn:
            raise OrderNotFound(order_sn)
        return self.kept


class Shelf:
    """A catalogue."""

    async def get_many(self, goods_ids: Sequence[int]) -> Any:
        return {id: GOODS[id] for id in goods_ids if id in GOODS}


def spread(lives_ms: Sequence[int], most_ms: int) -> None:
    """Raises AssertionError unless each is shorter than the one before, and none is longer than allowed."""
    assert len(lives_ms) == len(SHARES)
    assert all(earlier > later for earlier, later in pairwise(lives_ms))
    assert most_ms >= lives_ms[0] and lives_ms[-1] >= most_ms * 0.8


@pytest.mark.parametrize(("wanted", "most_ms"), [("known", 60_000), ("unknown", 5_000)])
async def test_orders_end_at_different_times(wanted: str, most_ms: int) -> None:
    cache: Any = Lives()
    shares, kept = iter(SHARES), order()
    database: Any = Known(kept)
    times = OrderTimes(60_000, 5_000)
    views = OrderViews(
        database,
        cache,
        times=lambda: times,
        jitter=shares.__next__,
        count=lambda how: None,
    )
    for _ in SHARES:
        if wanted == "known":
            await views.get(kept.order_sn)
        else:
            with pytest.raises(OrderNotFound):
                await views.get("no such number")
    spread(cache.ms, most_ms)


async def test_goods_end_at_different_times() -> None:
    cache: Any = Lives()
    catalogue: Any = Shelf()
    shares = iter(SHARES)
    goods = CachedGoods(
        catalogue,
        cache,
        ttl_ms=lambda: 10_000,
        clock=lambda: NOW_MS,
        jitter=shares.__next__,
        count=lambda how: None,
    )
    for _ in SHARES:
        await goods.get_many([1])
    spread(cache.ms, 10_000)
