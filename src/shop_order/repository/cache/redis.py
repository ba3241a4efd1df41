"""A cache in Redis, shared by all instances; each atomic operation is one Lua script."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

from shop_order.pkg.redis.connection import RedisConnection, RedisUnavailable, Script
from shop_order.repository.cache import CacheDown, Entry, Marks

# The 1 is the version of the format: releases with different formats share no entries.
PREFIX = "order-service:1:"
MAX_SENT_AT_ONCE = 128

# A value is `<version>|<bytes>`.
PUT = Script("""
local seen = redis.call('GETRANGE', KEYS[1], 0, 20)
local known, new = tonumber(string.match(seen, '^(%d+)|') or '-1'), tonumber(ARGV[1])
if known > new or (known == new and ARGV[2] == '') then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. ARGV[2], 'PX', ARGV[3])
return 1
""")
CLAIM = Script("""
local owner = redis.call('GET', KEYS[1])
if owner then return owner end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
""")
RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")
MARK = Script("""
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
-- The time: a counter that was lost and restarted might repeat a known revision.
local clock = redis.call('TIME')
return redis.call('SET', KEYS[2], clock[1] .. string.format('%06d', clock[2]))
""")
MARKS = Script("""
local revision = redis.call('GET', KEYS[2]) or '0'
if revision == ARGV[1] then return {revision} end
return {revision, redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[2], '+inf', 'WITHSCORES')}
""")


class RedisCache:
    """See `repository.cache.Cache`."""

    def __init__(
        self, connection: RedisConnection, *, max_missed: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._max_missed = max_missed
        self._now_s = now_s
        self._missed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        connection.on_recovery(self._send_missed)

    @property
    def up(self) -> bool:
        return self._connection.up

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def get(self, key: str) -> Entry | None:
        kept = await self._result(self._connection.command("GET", PREFIX + key))
        if kept is None:
            return None
        version, bar, value = kept.partition(b"|")
        return Entry(int(version), value) if bar and version.isdigit() else None

    async def put(self, key: str, version: int, value: bytes, ttl_ms: int) -> bool:
        return bool(await self._result(self._connection.script(PUT, (PREFIX + key,), version, value, ttl_ms)))

    async def outdate(self, key: str, version: int, ttl_ms: int) -> None:
        try:
            await self.put(key, version, b"", ttl_ms)
        except CacheDown:
            known, _ = self._missed.pop(key, (0, 0.0))
            # Cached entries expire within the same time.
            self._missed[key] = (max(version, known), self._now_s() + ttl_ms / 1000)
            if len(self._missed) > self._max_missed:
                self._missed.popitem(last=False)

    async def _send_missed(self) -> bool:
        """Send some of the updates it missed; return whether there were any. Raises RedisUnavailable."""
        if not self._missed:
            return False
        some = list(islice(self._missed.items(), MAX_SENT_AT_ONCE))
        await asyncio.gather(*(self._send(key, *about) for key, about in some))
        return True

    async def _send(self, key: str, version: int, until_s: float) -> None:
        ttl_ms = int((until_s - self._now_s()) * 1000)
        if ttl_ms > 0:
            await self._connection.script_now(PUT, (PREFIX + key,), version, b"", ttl_ms)
        if self._missed.get(key, (0, 0.0))[0] == version:
            del self._missed[key]

    async def claim(self, key: str, owner: str, ttl_ms: int) -> str:
        held: bytes = await self._result(self._connection.script(CLAIM, (PREFIX + key,), owner, ttl_ms))
        return held.decode()

    async def release(self, key: str, owner: str) -> None:
        await self._result(self._connection.script(RELEASE, (PREFIX + key,), owner))

    async def mark(self, name: str, member: str, until_ms: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        await self._result(self._connection.script(MARK, _keys_of(name), member, until_ms, now_ms))

    async def marks(self, name: str, known: int, now_ms: int) -> Marks | None:
        found = await self._result(self._connection.script(MARKS, _keys_of(name), known, now_ms))
        if len(found) == 1:
            return None
        flat = found[1]
        ends = {flat[at].decode(): int(float(flat[at + 1])) for at in range(0, len(flat), 2)}
        return Marks(int(found[0]), ends)

    async def _result(self, command: Awaitable[Any]) -> Any:
        try:
            return await command
        except RedisUnavailable as down:
            raise CacheDown from down


def _keys_of(name: str) -> tuple[str, str]:
    return f"{PREFIX}{{{name}}}", f"{PREFIX}{{{name}}}:revision"
