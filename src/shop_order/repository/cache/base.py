"""What a cache offers; every operation is atomic, and none lets an old value replace a newer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class CacheDown(Exception):
    """The cache can't be asked for now; what was to be written may be there or not."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept under a key; an empty value says only that older versions are out of date."""

    version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Marks:
    """Members of a list with their ends in epoch ms; `revision` changes when one is added."""

    revision: int
    until_ms: Mapping[str, int]


class Cache(Protocol):
    """Values with versions, leases, and lists of marks; keys that are used together share a {tag}."""

    @property
    def up(self) -> bool:
        """It answers; while it does not, everybody goes on without it."""

    async def open(self) -> None:
        """Connect; being away is no error."""

    async def close(self) -> None:
        """Disconnect."""

    async def get(self, key: str) -> Entry | None:
        """What is kept, None if nothing is. Raises CacheDown."""

    async def put(self, key: str, version: int, value: bytes, ttl_ms: int) -> bool:
        """Keep a value unless a newer version is known; False if one is. Raises CacheDown."""

    async def outdate(self, key: str, version: int, ttl_ms: int) -> None:
        """From now on nothing older than `version` is read or kept.

        Never raises: while the cache is down it is remembered, and told before the cache is believed again.
        """

    async def claim(self, key: str, owner: str, ttl_ms: int) -> str:
        """Who holds the key: `owner` if nobody did. Raises CacheDown."""

    async def release(self, key: str, owner: str) -> None:
        """Give the key up, if it is still `owner`'s. Raises CacheDown."""

    async def mark(self, name: str, member: str, until_ms: int) -> None:
        """Put a member on a list until then; a later end counts. Raises CacheDown."""

    async def marks(self, name: str, known: int, now_ms: int) -> Marks | None:
        """The members that have not ended, None if the revision is still `known`. Raises CacheDown."""
