"""Cutting a command off at an exact point, and a death that leaves only the files."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.shop import Shop


class Cut:
    """The next call of `target.name` stops before (or `after`) its work, and those behind it too.

    With `error` the call fails with it instead, once: what it did stays done, the answer is lost.
    """

    def __init__(
        self, target: Any, name: str, *, after: bool = False, error: Exception | None = None
    ) -> None:
        self.reached = asyncio.Event()
        self._open = asyncio.Event()
        self._error = error
        self._real = getattr(target, name)
        self._after = after
        self._stopped: set[asyncio.Task[Any]] = set()
        setattr(target, name, self._call)

    async def _call(self, *args: Any, **named: Any) -> Any:
        if self._after:
            result = await self._real(*args, **named)
            await self._stop()
            return result
        await self._stop()
        return await self._real(*args, **named)

    async def _stop(self) -> None:
        if self._open.is_set():
            return
        self.reached.set()
        if self._error is not None:
            self._open.set()
            raise self._error
        task = asyncio.current_task()
        assert task is not None
        self._stopped.add(task)
        try:
            await self._open.wait()
        finally:
            self._stopped.discard(task)

    def mend(self) -> None:
        """Let everything go on."""
        self._open.set()

    def sever(self) -> None:
        """What stopped here never goes on."""
        for task in self._stopped:
            task.cancel()


async def die(shop: Shop, *cuts: Cut) -> None:
    """End the service as a kill would: nothing drained, nothing published, what stopped is lost."""
    assert shop.app is not None

    async def nothing(deadline_s: float) -> None:
        """A dead relay drains nothing."""

    shop.core.relay.drain = nothing
    await shop.app._jobs.stop()
    for cut in cuts:
        cut.sever()
    await shop.stop_service()


async def die_and_come_back(shop: Shop, *cuts: Cut) -> None:
    """The same, and a new start on the same files."""
    await die(shop, *cuts)
    await shop.start_service()
