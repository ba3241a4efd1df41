"""The room of caches: what instances share besides the database; the scheme of the URL picks the engine."""

from __future__ import annotations

from shop_order.pkg.redis import SCHEMES
from shop_order.pkg.redis.connection import RedisConnection
from shop_order.repository.cache.base import Cache


def open_cache(url: str, *, max_entries: int, link: RedisConnection | None = None) -> Cache:
    """The cache behind `url`, not opened yet; `link` is the way to Redis, where the URL names it.

    Raises ValueError for a scheme that is not built.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        from shop_order.repository.cache.memory import MemoryCache

        return MemoryCache(max_entries)
    if scheme in SCHEMES and link is not None:
        from shop_order.repository.cache.redis import RedisCache

        return RedisCache(link, max_missed=max_entries)
    raise ValueError(f"no cache for {scheme}:")
