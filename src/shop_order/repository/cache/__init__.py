"""Caches, which instances may share; the scheme of the URL selects the engine."""

from __future__ import annotations

from shop_order.pkg.redis import SCHEMES
from shop_order.pkg.redis.connection import RedisConnection
from shop_order.repository.cache.base import Cache


def open_cache(url: str, *, max_entries: int, link: RedisConnection | None = None) -> Cache:
    """Return the cache of `url`, not opened yet; `link` connects to Redis.

    Raises ValueError for an unknown scheme.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        from shop_order.repository.cache.memory import MemoryCache

        return MemoryCache(max_entries)
    if scheme in SCHEMES and link is not None:
        from shop_order.repository.cache.redis import RedisCache

        return RedisCache(link, max_missed=max_entries)
    raise ValueError(f"no cache for {scheme}:")
