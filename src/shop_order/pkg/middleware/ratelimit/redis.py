"""GCRA in Redis: one limit for all instances, on Redis' own clock."""

from __future__ import annotations

from shop_order.pkg.middleware.ratelimit.base import MOST_DEBT_S, RateLimiter
from shop_order.pkg.redis.link import RedisDown, RedisLink, Script

PREFIX = "order-service:1:rate:"

# Times in microseconds; what is kept is the time at which the whole burst would be free again.
ACQUIRE = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local gap = 1000000 / tonumber(ARGV[1])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + gap
local wait = free - gap * tonumber(ARGV[2]) - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.ceil((free - now) / 1000))
return 0
""")

CHARGE = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local gap = 1000000 / tonumber(ARGV[1])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + gap * tonumber(ARGV[3])
free = math.min(free, now + gap * tonumber(ARGV[2]) + tonumber(ARGV[4]) * 1000000)
redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.ceil((free - now) / 1000))
return 0
""")


class RedisRateLimiter:
    """See `base.RateLimiter`; without Redis each instance counts alone."""

    def __init__(self, link: RedisLink, local: RateLimiter) -> None:
        self._link = link
        self._local = local

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        """Takes one call; returns 0.0, or the seconds after which it may be tried again."""
        if rate <= 0:
            return 0.0
        try:
            wait_us = await self._link.script(ACQUIRE, (f"{PREFIX}{{{key}}}",), rate, burst)
        except RedisDown:
            return await self._local.acquire(key, rate, burst)
        return max(int(wait_us) / 1_000_000, 0.001) if wait_us else 0.0

    async def charge(self, key: str, rate: int, burst: int, cost: int) -> None:
        """Takes `cost` calls more, also what is not there."""
        if rate <= 0:
            return
        try:
            await self._link.script(CHARGE, (f"{PREFIX}{{{key}}}",), rate, burst, cost, MOST_DEBT_S)
        except RedisDown:
            await self._local.charge(key, rate, burst, cost)
