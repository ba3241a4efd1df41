"""Rate limits by GCRA: throttled-py in the memory of one process, or in Redis for all instances.

throttled-py's Redis store has no debts (`charge`) and would bypass our pipelines and circuit breaker.
"""

from __future__ import annotations

import math
from typing import Protocol

from throttled import MemoryStore, RateLimiterRegistry, RateLimiterType, per_sec, utils
from throttled.rate_limiter import BaseRateLimiter

from shop_order.pkg.redis import SCHEMES
from shop_order.pkg.redis.connection import RedisConnection, RedisUnavailable, Script

MAX_DEBT_S = 60  # in addition to the time in which the burst is regained
_MAX_QUOTAS = 256
PREFIX = "order-service:1:rate:"

# Arguments: rate, burst, cost, seconds of debt. Without debt, returns the microseconds until a retry if the
# cost is too high. The stored value is the time at which the whole burst is available, in microseconds.
TAKE = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local gap = 1000000 / tonumber(ARGV[1])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + gap * tonumber(ARGV[3])
local debt = tonumber(ARGV[4])
local latest = now + gap * tonumber(ARGV[2]) + debt * 1000000
if debt == 0 and free > latest then return math.ceil(free - latest) end
free = math.min(free, latest)
redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.ceil((free - now) / 1000))
return 0
""")


class RateLimiter(Protocol):
    """Limits calls by key, such as `user:7` or `global`."""

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        """Take one call, of `burst` at once and `rate` per second; `rate` 0 is no limit.

        Return 0.0 if the call is allowed, otherwise the seconds until a retry.
        """

    async def charge(self, key: str, rate: int, burst: int, cost: int) -> None:
        """Charge `cost` more calls; the balance may become negative, by at most `MAX_DEBT_S`."""


class MemoryRateLimiter:
    """Keeps the `max_keys` most recently used keys; an evicted key starts with its whole burst."""

    def __init__(self, max_keys: int) -> None:
        self._store = MemoryStore(options={"MAX_SIZE": max_keys})
        self._gcra = RateLimiterRegistry.get(RateLimiterType.GCRA.value)
        self._limiters: dict[tuple[int, int], BaseRateLimiter] = {}

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        if rate <= 0:
            return 0.0
        limiter = self._limiter(rate, burst)
        # The synchronous limiter never blocks, and costs two thirds of the asynchronous one.
        result = limiter.limit(key)
        return max(result.state.retry_after, 0.001) if result.limited else 0.0

    async def charge(self, key: str, rate: int, burst: int, cost: int) -> None:
        if rate <= 0:
            return
        # The library has no debts. It stores the time at which the whole burst is available.
        name = self._limiter(rate, burst)._prepare_key(key)
        now_s = utils.now_mono_f()
        free_s = max(float(self._store.get(name) or now_s), now_s) + cost / rate
        free_s = min(free_s, now_s + burst / rate + MAX_DEBT_S)
        self._store.set(name, free_s, math.ceil(free_s - now_s))

    def _limiter(self, rate: int, burst: int) -> BaseRateLimiter:
        limiter = self._limiters.get((rate, burst))
        if limiter is None:
            if len(self._limiters) >= _MAX_QUOTAS:  # settings were reloaded many times
                self._limiters.clear()
            limiter = self._limiters[rate, burst] = self._gcra(per_sec(rate, burst=burst), self._store)
        return limiter


class RedisRateLimiter:
    """See `RateLimiter`; while Redis is down, each instance counts alone."""

    def __init__(self, link: RedisConnection, local: RateLimiter) -> None:
        self._link = link
        self._local = local

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        if rate <= 0:
            return 0.0
        try:
            wait_us = await self._link.script(TAKE, (f"{PREFIX}{{{key}}}",), rate, burst, 1, 0)
        except RedisUnavailable:
            return await self._local.acquire(key, rate, burst)
        return max(int(wait_us) / 1_000_000, 0.001) if wait_us else 0.0

    async def charge(self, key: str, rate: int, burst: int, cost: int) -> None:
        if rate <= 0:
            return
        try:
            await self._link.script(TAKE, (f"{PREFIX}{{{key}}}",), rate, burst, cost, MAX_DEBT_S)
        except RedisUnavailable:
            await self._local.charge(key, rate, burst, cost)


def open_limiter(url: str, max_keys: int, link: RedisConnection | None = None) -> RateLimiter:
    """Return the limiter of an engine URL; `link` is the connection of a Redis URL.

    Raises ValueError for an unknown scheme.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        return MemoryRateLimiter(max_keys)
    if scheme in SCHEMES and link is not None:
        return RedisRateLimiter(link, MemoryRateLimiter(max_keys))
    raise ValueError(f"no rate limiter for {scheme}:")
