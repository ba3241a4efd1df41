"""Caches, which instances may share; the scheme of the URL selects the engine.

Operations are atomic, and no old value replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shop_order.pkg.redis import SCHEMES
from shop_order.pkg.redis.connection import RedisConnection


class CacheDown(Exception):
    """The cache is unreachable; a write may have taken effect."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached value; an empty one only marks older versions as outdated."""

    version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Marks:
    """Members of a list with their expiry in epoch ms; `revision` changes when one is added."""

    revision: int
    until_ms: Mapping[str, int]


class Cache(Protocol):
    """Versioned values, claims, and lists of marks; keys that are used together share a {tag}."""

    @property
    def up(self) -> bool:
        """Whether the cache is reachable; while it is not, callers work without it."""

    async def open(self) -> None:
        """Connect; an unreachable server is not an error."""

    async def close(self) -> None:
        """Disconnect."""

    async def get(self, key: str) -> Entry | None:
        """Return the entry of the key. Raises CacheDown."""

    async def put(self, key: str, version: int, value: bytes, ttl_ms: int) -> bool:
        """Store a value; return False if a newer version is stored. Raises CacheDown."""

    async def outdate(self, key: str, version: int, ttl_ms: int) -> None:
        """Mark every entry older than `version` as outdated.

        Never raises: while the cache is down it is queued, and sent before the cache is used again.
        """

    async def claim(self, key: str, owner: str, ttl_ms: int) -> str:
        """Claim the key unless it is claimed; return its owner. Raises CacheDown."""

    async def release(self, key: str, owner: str) -> None:
        """Release the key if it is claimed by `owner`. Raises CacheDown."""

    async def mark(self, name: str, member: str, until_ms: int) -> None:
        """Add a member to a list until `until_ms`; the latest expiry counts. Raises CacheDown."""

    async def marks(self, name: str, known: int, now_ms: int) -> Marks | None:
        """Return the unexpired members, None if the revision is still `known`. Raises CacheDown."""


def open_cache(url: str, *, max_entries: int, redis: RedisConnection | None = None) -> Cache:
    """Return the cache of `url`, not opened yet; `redis` is the connection to Redis.

    Raises ValueError for an unknown scheme.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        from shop_order.repository.cache.memory import MemoryCache

        return MemoryCache(max_entries)
    if scheme in SCHEMES and redis is not None:
        from shop_order.repository.cache.redis import RedisCache

        return RedisCache(redis, max_missed=max_entries)
    raise ValueError(f"no cache for {scheme}:")
