"""Concurrent callers share work: batches without a timer (architecture, chapter 6), and shared calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Self, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
MAX_YIELD_S = 0.02  # since the others may be waiting for a service that hangs


class Batcher(Generic[In, Out]):
    """Passes items to `run` in batches of at most `max_batch`, one batch at a time.

    Items that arrive while a batch is running form the next one; a lone item never waits. `run` returns one
    result or exception per item, in order. It runs in its own task, so a cancelled caller does not affect the
    others. With more than `queue` waiting items, `full()` is raised at once.
    """

    def __init__(
        self,
        run: Callable[[Sequence[In]], Awaitable[Sequence[Out | BaseException]]],
        *,
        max_batch: int,
        queue: int,
        full: Callable[[], Exception],
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._queue = queue
        self._full = full
        self._observe = observe
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._yields_to: Sequence[Batcher[Any, Any]] = ()
        self._started_s: float | None = None

    @property
    def running_s(self) -> float:
        """The age of the batch in flight in seconds; 0 without one."""
        return 0.0 if self._started_s is None else time.monotonic() - self._started_s

    def yield_to(self, *others: Batcher[Any, Any]) -> Self:
        """Let these batchers run first, at most MAX_YIELD_S each, so that more items gather here."""
        self._yields_to = others
        return self

    async def submit(self, item: In) -> Out:
        """Return the item's result. Raises what `run` returned for it, or the failure of the batch."""
        if len(self._waiting) >= self._queue:
            raise self._full()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Out] = loop.create_future()
        self._waiting.append((item, result))
        if self._pump is None:
            self._pump = loop.create_task(self._drain())
        return await result

    async def join(self) -> None:
        """Wait until nothing is queued or in flight."""
        while self._pump is not None:
            await asyncio.wait([self._pump])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                if self._yields_to:
                    await self._yield()
                batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
                await self._run_one(batch)
        finally:
            self._pump = None

    async def _yield(self) -> None:
        await asyncio.sleep(0)  # callers answered by the last batch go first
        for other in self._yields_to:
            if other._pump is not None:
                await asyncio.wait([other._pump], timeout=MAX_YIELD_S)

    async def _run_one(self, batch: list[tuple[In, asyncio.Future[Out]]]) -> None:
        results: Sequence[Out | BaseException]
        try:
            if self._observe:
                self._observe(len(batch))
            self._started_s = time.monotonic()
            results = await self._run([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results of {len(batch)} items")
        except Exception as failure:  # noqa: BLE001 - passed on to every caller
            results = [failure] * len(batch)
        finally:
            self._started_s = None
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # its caller was cancelled
            if isinstance(result, StopIteration):  # a future refuses it, and the rest would wait forever
                future.set_exception(RuntimeError(repr(result)))
            elif isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)


class SingleFlight(Generic[Out]):
    """Calls `find` once for all concurrent callers, and returns its result for `ttl_s` seconds.

    An exception is raised for all waiting callers, and not cached. The work continues when callers are
    cancelled.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[Out]],
        ttl_s: float = float("inf"),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._ttl_s = ttl_s
        self._now_s = now_s
        self._result: asyncio.Future[Out] | None = None
        self._expires_s = 0.0

    async def __call__(self) -> Out:
        """Return the result, at most `ttl_s` old."""
        found = self._result
        if found is None or (found.done() and self._is_stale(found)):
            found = self._result = asyncio.ensure_future(self._run())
        return await asyncio.shield(found)

    def _is_stale(self, found: asyncio.Future[Out]) -> bool:
        return found.cancelled() or found.exception() is not None or self._now_s() >= self._expires_s

    async def _run(self) -> Out:
        found = await self._find()
        self._expires_s = self._now_s() + self._ttl_s
        return found
