"""Several instances of the service on one cache."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from shop_order.pkg.redis import open_redis
from shop_order.repository.cache import Entry
from tests.contract.cache_engine import Instance, instance
from tests.plugins.engines import available

TTL_MS = 60_000


@pytest.fixture
def key() -> str:
    """A key nobody used before."""
    return f"test:{{{secrets.token_hex(8)}}}"


@pytest.fixture(params=available("redis"))
async def two(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Instance, Instance]]:
    """Two instances of the service."""
    async with instance(request.param) as first, instance(request.param) as second:
        yield first, second


async def test_instances_see_each_others_values_leases_and_limits(
    two: tuple[Instance, Instance], key: str
) -> None:
    first, second = two
    await first.cache.put(key, 1, b"one", TTL_MS)
    assert await second.cache.get(key) == Entry(1, b"one")
    assert await first.cache.claim(key + "lease", "first", TTL_MS) == "first"
    assert await second.cache.claim(key + "lease", "second", TTL_MS) == "first"
    waits = [await of.limiter.acquire(key, 1, 4) for of in (first, second) * 4]
    assert waits.count(0.0) == 4


async def test_keys_of_one_order_share_a_slot_and_many_orders_spread(two: tuple[Instance, Instance]) -> None:
    first, second = two
    keys = [f"order:{{{secrets.token_hex(8)}}}" for _ in range(200)]
    await asyncio.gather(*(first.cache.put(key, 1, key.encode(), TTL_MS) for key in keys))
    found = await asyncio.gather(*(second.cache.get(key) for key in keys))
    assert found == [Entry(1, key.encode()) for key in keys]


@pytest.mark.parametrize("url", available("redis"))
async def test_a_changed_timeout_interrupts_nobody(url: str, key: str) -> None:
    timeout_s, changes = 2.0, []
    link = open_redis(url, timeout_s=lambda: timeout_s, on_change=lambda up, why: changes.append((up, why)))
    assert link is not None
    await link.open()
    try:
        for round_s in (2.0, 3.0, 2.5):
            timeout_s = round_s
            wanted = [f"{round_s}-{n}".encode() for n in range(50)]
            await asyncio.gather(*(link.command("SET", f"{key}{n}", it) for n, it in enumerate(wanted)))
            found = await asyncio.gather(*(link.command("GET", f"{key}{n}") for n in range(50)))
            assert found == wanted
        assert changes == [(True, "")]
    finally:
        await link.close()
