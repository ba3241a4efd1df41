"""What a cache offers; every operation is atomic, and none lets an old value replace a newer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class CacheDown(Exception):
    """The cache can't be reached; a write may have taken effect or not."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is stored under a key; an empty value only marks older versions as out of date."""

    version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Marks:
    """Members of a list with their expiry in epoch ms; `revision` changes when one is added."""

    revision: int
    until_ms: Mapping[str, int]


class Cache(Protocol):
    """Values with versions, leases, and lists of marks; keys that are used together share a {tag}."""

    @property
    def up(self) -> bool:
        """Whether it answers; while it does not, callers go on without it."""

    async def open(self) -> None:
        """Connect; an unreachable server is no error."""

    async def close(self) -> None:
        """Disconnect."""

    async def get(self, key: str) -> Entry | None:
        """The entry, None if there is none. Raises CacheDown."""

    async def put(self, key: str, version: int, value: bytes, ttl_ms: int) -> bool:
        """Store a value unless a newer version is known; False if one is. Raises CacheDown."""

    async def outdate(self, key: str, version: int, ttl_ms: int) -> None:
        """From now on nothing older than `version` is read or stored.

        Never raises: while the cache is down it is remembered, and sent before the cache is used again.
        """

    async def claim(self, key: str, owner: str, ttl_ms: int) -> str:
        """The holder of the key: `owner` if there was none. Raises CacheDown."""

    async def release(self, key: str, owner: str) -> None:
        """Release the key if `owner` still holds it. Raises CacheDown."""

    async def mark(self, name: str, member: str, until_ms: int) -> None:
        """Add a member to a list until then; the latest expiry counts. Raises CacheDown."""

    async def marks(self, name: str, known: int, now_ms: int) -> Marks | None:
        """The members that have not expired, None if the revision is still `known`. Raises CacheDown."""
