"""A cache of every engine this machine offers, and the limiter that goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shop_order.pkg.ratelimit import RateLimiter, open_limiter
from shop_order.pkg.redis import open_redis
from shop_order.repository.cache import Cache, open_cache

PATIENT_S = 2.0  # the machine that tests is busy: only the fault tests measure time


@dataclass(frozen=True)
class Instance:
    """What one instance of the service opens."""

    cache: Cache
    limiter: RateLimiter


@asynccontextmanager
async def instance(
    url: str, *, timeout_s: float = PATIENT_S, max_entries: int = 1000
) -> AsyncIterator[Instance]:
    """An instance with an open cache."""
    link = open_redis(url, timeout_s=lambda: timeout_s)
    cache = open_cache(url, max_entries=max_entries, redis=link)
    await cache.open()
    try:
        yield Instance(cache, open_limiter(url, 100, link))
    finally:
        await cache.close()


async def until_up(cache: Cache, *, within_s: float = 10.0) -> None:
    """Wait until the cache is believed again."""
    async with asyncio.timeout(within_s):
        while not cache.up:  # noqa: ASYNC110 - nobody else would tell us
            await asyncio.sleep(0.01)
