"""Batching without a timer: items gather while a batch is in flight (architecture, chapter 6)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Self, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
MAX_YIELD_S = 0.02  # not longer: the others may be waiting for a service that hangs


class Batcher(Generic[In, Out]):
    """Hands items to `run` in batches of at most `most`, one batch at a time; a lone item waits for nothing.

    `run` returns one result or exception an item, in order. It runs in a task of its own: a caller that
    gives up takes nobody with it. More than `queue` waiting items: `full()` is raised at once. Put `behind`
    others, a batch lets these go first: more gathers meanwhile, and the group moves on together.
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
        """Let the batches of these run first, each for at most MAX_YIELD_S."""
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
