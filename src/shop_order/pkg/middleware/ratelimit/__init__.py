"""The room of rate limiters: the scheme of the cache's URL picks one."""

from shop_order.pkg.middleware.ratelimit.base import RateLimiter
from shop_order.pkg.redis.address import SCHEMES
from shop_order.pkg.redis.link import RedisLink


def open_limiter(url: str, max_keys: int, link: RedisLink | None = None) -> RateLimiter:
    """The limiter of an engine URL; `link` is the way to Redis, where the URL names it.

    Raises ValueError for a scheme that is not built.
    """
    from shop_order.pkg.middleware.ratelimit.memory import MemoryRateLimiter

    scheme = url.partition(":")[0]
    if scheme == "memory":
        return MemoryRateLimiter(max_keys)
    if scheme in SCHEMES and link is not None:
        from shop_order.pkg.middleware.ratelimit.redis import RedisRateLimiter

        return RedisRateLimiter(link, MemoryRateLimiter(max_keys))
    raise ValueError(f"no rate limiter for {scheme}: in this version")


__all__ = ["RateLimiter", "open_limiter"]
