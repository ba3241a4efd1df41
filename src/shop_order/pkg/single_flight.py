"""Concurrent calls share one execution."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Calls `find` once for all concurrent callers, and returns its result for `ttl_s` seconds.

    An exception is raised for all waiting callers, and not cached. The work continues when callers are
    cancelled.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[T]],
        ttl_s: float = float("inf"),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._ttl_s = ttl_s
        self._now_s = now_s
        self._result: asyncio.Future[T] | None = None
        self._expires_s = 0.0

    async def __call__(self) -> T:
        """Return the result, at most `ttl_s` old."""
        found = self._result
        if found is None or (found.done() and self._is_stale(found)):
            found = self._result = asyncio.ensure_future(self._run())
        return await asyncio.shield(found)

    def _is_stale(self, found: asyncio.Future[T]) -> bool:
        return found.cancelled() or found.exception() is not None or self._now_s() >= self._expires_s

    async def _run(self) -> T:
        found = await self._find()
        self._expires_s = self._now_s() + self._ttl_s
        return found


class Once(SingleFlight[T]):
    """Returns the first result forever."""

    def __init__(self, find: Callable[[], Awaitable[T]]) -> None:
        super().__init__(find)
