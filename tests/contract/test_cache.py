"""What every cache promises: versions, leases, lists of marks; and the limiter beside it."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator

import pytest

from shop_order.pkg.ratelimit import MAX_DEBT_S
from shop_order.repository.cache import Cache, Entry
from tests.contract.cache_engine import Instance, instance
from tests.plugins.engines import available

TTL_MS = 60_000
WAIT_MS = 150


@pytest.fixture(params=available("memory", "redis"))
async def one(request: pytest.FixtureRequest) -> AsyncIterator[Instance]:
    """An open cache."""
    async with instance(request.param) as opened:
        assert opened.cache.up
        yield opened


@pytest.fixture
def cache(one: Instance) -> Cache:
    return one.cache


@pytest.fixture
def key() -> str:
    """A key nobody used before."""
    return f"test:{{{secrets.token_hex(8)}}}"


async def test_what_was_put_is_read_with_its_version_and_bytes(cache: Cache, key: str) -> None:
    assert await cache.get(key) is None
    assert await cache.put(key, 3, b"\x00|\xff3|", TTL_MS)
    assert await cache.get(key) == Entry(3, b"\x00|\xff3|")


async def test_an_old_value_never_replaces_a_newer_one(cache: Cache, key: str) -> None:
    assert await cache.put(key, 10, b"ten", TTL_MS)
    assert not await cache.put(key, 9, b"nine", TTL_MS)
    assert await cache.get(key) == Entry(10, b"ten")
    assert await cache.put(key, 11, b"eleven", TTL_MS)
    assert await cache.get(key) == Entry(11, b"eleven")


async def test_versions_as_large_as_times_are_told_apart(cache: Cache, key: str) -> None:
    at_ms = 1_795_000_000_123
    assert await cache.put(key, at_ms + 1, b"new", TTL_MS)
    assert not await cache.put(key, at_ms, b"old", TTL_MS)


async def test_whatever_the_order_of_arrival_the_newest_stays(cache: Cache, key: str) -> None:
    versions = list(range(1, 41))
    random.Random(7).shuffle(versions)
    await asyncio.gather(*(cache.put(key, v, b"v%d" % v, TTL_MS) for v in versions))
    assert await cache.get(key) == Entry(40, b"v40")


async def test_what_is_out_of_date_can_be_neither_read_nor_kept(cache: Cache, key: str) -> None:
    await cache.put(key, 1, b"one", TTL_MS)
    await cache.outdate(key, 2, TTL_MS)
    assert await cache.get(key) == Entry(2, b"")
    assert not await cache.put(key, 1, b"one", TTL_MS)
    assert await cache.put(key, 2, b"two", TTL_MS)
    await cache.outdate(key, 2, TTL_MS)
    assert await cache.get(key) == Entry(2, b"two"), "this version is not out of date"


async def test_an_entry_ends_by_itself(cache: Cache, key: str) -> None:
    await cache.put(key, 5, b"five", WAIT_MS)
    await asyncio.sleep(WAIT_MS / 1000 + 0.05)
    assert await cache.get(key) is None
    assert await cache.put(key, 1, b"one", TTL_MS)


async def test_a_key_has_one_owner_until_it_is_given_up(cache: Cache, key: str) -> None:
    owners = [f"owner-{n}" for n in range(20)]
    told = set(await asyncio.gather(*(cache.claim(key, owner, TTL_MS) for owner in owners)))
    (winner,) = told
    assert winner in owners
    await cache.release(key, "somebody else")
    assert await cache.claim(key, "late", TTL_MS) == winner
    await cache.release(key, winner)
    assert await cache.claim(key, "late", TTL_MS) == "late"


async def test_a_lease_ends_by_itself(cache: Cache, key: str) -> None:
    assert await cache.claim(key, "dead", WAIT_MS) == "dead"
    await asyncio.sleep(WAIT_MS / 1000 + 0.05)
    assert await cache.claim(key, "alive", TTL_MS) == "alive"
    await cache.release(key, "dead")
    assert await cache.claim(key, "other", TTL_MS) == "alive", "the dead one's release came too late"


async def test_a_list_tells_what_was_added_and_not_ended(cache: Cache) -> None:
    name, now_ms = f"test-{secrets.token_hex(8)}", time.time_ns() // 1_000_000
    assert await cache.marks(name, 0, now_ms) is None
    await cache.mark(name, "a", now_ms + 50_000)
    await cache.mark(name, "b", now_ms + 60_000)
    await cache.mark(name, "a", now_ms + 10_000)
    found = await cache.marks(name, 0, now_ms)
    assert found is not None
    assert found.until_ms == {"a": now_ms + 50_000, "b": now_ms + 60_000}
    assert await cache.marks(name, found.revision, now_ms) is None
    later = await cache.marks(name, -1, now_ms + 55_000)
    assert later is not None
    assert later.until_ms == {"b": now_ms + 60_000}


async def test_a_burst_goes_and_then_the_rate_holds(one: Instance, key: str) -> None:
    waits = [await one.limiter.acquire(key, 2, 5) for _ in range(8)]
    assert waits[:5] == [0.0] * 5
    assert all(0 < wait <= 0.5 for wait in waits[5:])
    assert await one.limiter.acquire(key + "other", 2, 5) == 0.0


async def test_a_refused_call_costs_nothing_and_after_the_wait_one_goes(one: Instance, key: str) -> None:
    assert await one.limiter.acquire(key, 5, 1) == 0.0
    for _ in range(20):
        wait_s = await one.limiter.acquire(key, 5, 1)
        assert 0 < wait_s <= 0.2
    await asyncio.sleep(wait_s + 0.01)
    assert await one.limiter.acquire(key, 5, 1) == 0.0
    assert await one.limiter.acquire(key, 5, 1) > 0


async def test_no_more_than_the_burst_goes_however_many_come_at_once(one: Instance, key: str) -> None:
    waits = await asyncio.gather(*(one.limiter.acquire(key, 1, 10) for _ in range(50)))
    assert waits.count(0.0) == 10


async def test_what_is_charged_afterwards_is_a_debt_that_the_next_calls_wait_for(
    one: Instance, key: str
) -> None:
    assert await one.limiter.acquire(key, 10, 20) == 0.0
    await one.limiter.charge(key, 10, 20, 40)  # twenty more than there are
    wait_s = await one.limiter.acquire(key, 10, 20)
    assert 1.5 < wait_s <= 2.2
    assert await one.limiter.acquire(key + "other", 10, 20) == 0.0
    await one.limiter.charge(key, 10, 20, 10**9)
    assert 50 < await one.limiter.acquire(key, 10, 20) <= MAX_DEBT_S + 0.1
    await one.limiter.charge(key + "off", 0, 20, 10**9)
    assert await one.limiter.acquire(key + "off", 10, 20) == 0.0


def test_memory_forgets_the_longest_unused_beyond_its_bound() -> None:
    async def fill() -> list[Entry | None]:
        async with instance("memory://", max_entries=3) as opened:
            for n in range(3):
                await opened.cache.put(f"k{n}", 1, b"v", TTL_MS)
            await opened.cache.get("k0")
            await opened.cache.put("k3", 1, b"v", TTL_MS)
            return [await opened.cache.get(f"k{n}") for n in range(4)]

    kept = asyncio.run(fill())
    assert [entry is not None for entry in kept] == [True, False, True, True]
