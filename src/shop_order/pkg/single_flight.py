"""One piece of work for all who ask for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """What was found stands for `ttl_s` seconds, and who asks meanwhile waits for the one that looks.

    What was raised is raised for all that wait, and is not kept. The work goes on when its callers leave.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[T]],
        ttl_s: float = float("inf"),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._for_s = ttl_s
        self._now_s = now_s
        self._found: asyncio.Future[T] | None = None
        self._until_s = 0.0

    async def __call__(self) -> T:
        """What was found, at most `ttl_s` ago."""
        found = self._found
        if found is None or (found.done() and self._is_over(found)):
            found = self._found = asyncio.ensure_future(self._look())
        return await asyncio.shield(found)

    def _is_over(self, found: asyncio.Future[T]) -> bool:
        return found.cancelled() or found.exception() is not None or self._now_s() >= self._until_s

    async def _look(self) -> T:
        found = await self._find()
        self._until_s = self._now_s() + self._for_s
        return found


class Once(SingleFlight[T]):
    """What was found stands for good."""

    def __init__(self, find: Callable[[], Awaitable[T]]) -> None:
        super().__init__(find)
