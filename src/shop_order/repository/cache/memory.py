"""A bounded LRU cache in the memory of one process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from shop_order.repository.cache import Entry, Marks


class MemoryCache:
    """See `repository.cache.Cache`; `now_s` is a monotonic clock."""

    up = True

    def __init__(self, max_entries: int, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = max_entries
        self._now_s = now_s
        self._entries: OrderedDict[str, tuple[Entry, float]] = OrderedDict()
        self._owners: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._marks: dict[str, dict[str, int]] = {}
        self._revisions: dict[str, int] = {}

    async def open(self) -> None:
        return

    async def close(self) -> None:
        self._entries.clear()

    async def get(self, key: str) -> Entry | None:
        kept = self._entries.get(key)
        if kept is None:
            return None
        if kept[1] <= self._now_s():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return kept[0]

    async def put(self, key: str, version: int, value: bytes, ttl_ms: int) -> bool:
        known = await self.get(key)
        if known and (known.version > version or (known.version == version and not value)):
            return False
        self._entries[key] = (Entry(version, value), self._now_s() + ttl_ms / 1000)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        return True

    async def outdate(self, key: str, version: int, ttl_ms: int) -> None:
        await self.put(key, version, b"", ttl_ms)

    async def claim(self, key: str, owner: str, ttl_ms: int) -> str:
        held = self._owners.get(key)
        if held and held[1] > self._now_s():
            return held[0]
        self._owners[key] = (owner, self._now_s() + ttl_ms / 1000)
        self._owners.move_to_end(key)
        if len(self._owners) > self._max_entries:
            self._owners.popitem(last=False)
        return owner

    async def release(self, key: str, owner: str) -> None:
        if key in self._owners and self._owners[key][0] == owner:
            del self._owners[key]

    async def mark(self, name: str, member: str, until_ms: int) -> None:
        members = self._marks.setdefault(name, {})
        members[member] = max(until_ms, members.get(member, 0))
        self._revisions[name] = self._revisions.get(name, 0) + 1

    async def marks(self, name: str, known: int, now_ms: int) -> Marks | None:
        revision = self._revisions.get(name, 0)
        if revision == known:
            return None
        members = self._marks.get(name, {})
        for ended in [member for member, until_ms in members.items() if until_ms <= now_ms]:
            del members[ended]
        return Marks(revision, dict(members))
