"""The room of rate limiters: the scheme of the cache's URL picks one."""

from shop_order.pkg.middleware.ratelimit.base import RateLimiter


def open_limiter(url: str, max_keys: int) -> RateLimiter:
    """The limiter of an engine URL. Raises ValueError for a scheme that is not built."""
    scheme = url.partition(":")[0]
    if scheme == "memory":
        from shop_order.pkg.middleware.ratelimit.memory import MemoryRateLimiter

        return MemoryRateLimiter(max_keys)
    raise ValueError(f"no rate limiter for {scheme}: in this version")


__all__ = ["RateLimiter", "open_limiter"]
