"""The way to Redis that all who share something between instances share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shop_order.pkg.redis.address import SCHEMES, parse
from shop_order.pkg.redis.link import RedisLink


def open_link(
    url: str,
    *,
    timeout_s: Callable[[], float],
    queue: int = 4096,
    on_change: Callable[[bool, str], None] = lambda up, why: None,
    observe: Callable[[int], None] | None = None,
) -> RedisLink | None:
    """The link of a Redis URL, not opened yet; None for another engine's. Raises ValueError, ImportError."""
    if url.partition(":")[0] not in SCHEMES:
        return None
    from shop_order.pkg.redis.client import connect

    return RedisLink(
        partial(connect, parse(url)), timeout_s=timeout_s, queue=queue, on_change=on_change, observe=observe
    )
