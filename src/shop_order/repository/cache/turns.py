"""What is done once in a while, whichever instance is asked."""

from __future__ import annotations

from collections.abc import Callable

from shop_order.repository.cache.base import Cache, CacheDown


class Turns:
    """Turns of all instances that share a cache."""

    def __init__(self, cache: Cache, *, new_ticket: Callable[[], str]) -> None:
        self._cache = cache
        self._new_ticket = new_ticket

    async def take(self, what: str, for_ms: int) -> bool:
        """Whether nobody took this turn within the last `for_ms`; while the cache is down everybody does."""
        ticket = self._new_ticket()
        try:
            return await self._cache.claim(f"turn:{{{what}}}", ticket, for_ms) == ticket
        except CacheDown:
            return True
