"""GCRA in the memory of one process."""

import math

from throttled import MemoryStore, Quota, RateLimiterRegistry, RateLimiterType, per_sec, utils
from throttled.rate_limiter import BaseRateLimiter

from shop_order.pkg.middleware.ratelimit.base import MOST_DEBT_S

_MAX_QUOTAS = 256


class MemoryRateLimiter:
    """Remembers the `max_keys` keys used last; a key that was forgotten starts with its whole burst."""

    def __init__(self, max_keys: int) -> None:
        self._store = MemoryStore(options={"MAX_SIZE": max_keys})
        self._kind = RateLimiterRegistry.get(RateLimiterType.GCRA.value)
        self._limiters: dict[tuple[int, int], BaseRateLimiter] = {}

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        """Takes one call; returns 0.0, or the seconds after which it may be tried again."""
        if rate <= 0:
            return 0.0
        limiter = self._limiter_of(rate, burst)
        # The synchronous limiter: it never waits, and costs two thirds of the asynchronous one.
        result = limiter.limit(key)
        return max(result.state.retry_after, 0.001) if result.limited else 0.0

    async def charge(self, key: str, rate: int, burst: int, cost: int) -> None:
        """Takes `cost` calls more, also what is not there."""
        if rate <= 0:
            return
        # The library knows no debts. What it keeps of a key is when its whole burst is free again.
        kept = self._limiter_of(rate, burst)._prepare_key(key)
        now_s = utils.now_mono_f()
        free_s = max(float(self._store.get(kept) or now_s), now_s) + cost / rate
        free_s = min(free_s, now_s + burst / rate + MOST_DEBT_S)
        self._store.set(kept, free_s, math.ceil(free_s - now_s))

    def _limiter_of(self, rate: int, burst: int) -> BaseRateLimiter:
        limiter = self._limiters.get((rate, burst))
        return limiter or self._limiter(per_sec(rate, burst=burst), (rate, burst))

    def _limiter(self, quota: Quota, numbers: tuple[int, int]) -> BaseRateLimiter:
        if len(self._limiters) >= _MAX_QUOTAS:  # settings reloaded many times
            self._limiters.clear()
        limiter: BaseRateLimiter = self._kind(quota, self._store)
        self._limiters[numbers] = limiter
        return limiter
