"""The outbox relay: every event goes out at least once, each order's in order of version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from shop_order.domain.errors import OrderServiceError
from shop_order.domain.ports import Clock, EventPublisher, Outbox


class Relay:
    """Publishes what waits; `hint` wakes it, otherwise it looks every `idle_s`.

    After a hint it lets events gather for `gather_s`: a batch costs the same whether it is small or large.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        inboxes: EventPublisher,
        real_clock: Clock,
        batch: int = 128,
        idle_s: float = 1.0,
        gather_s: float = 0.02,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._outbox = outbox
        self._inboxes = inboxes
        self._now = real_clock
        self._batch = batch
        self._idle_s = idle_s
        self._gather_s = gather_s
        self._observe = observe
        self._awake = asyncio.Event()

    def hint(self) -> None:
        """Something was committed."""
        self._awake.set()

    async def run_once(self) -> int:
        """Publish one batch; how many events were acknowledged.

        An event that is not acknowledged is taken again, and holds back the later ones of its order.
        Raises DependencyDown, DeadlineExceeded.
        """
        events = await self._outbox.take(self._batch, self._now())
        if not events:
            return 0
        acknowledged = set(await self._inboxes.deliver(events))
        if acknowledged:
            await self._outbox.published(acknowledged)
            self._observe(len(acknowledged))
        if refused := [event.id for event in events if event.id not in acknowledged]:
            await self._outbox.refused(refused, self._now())
        return len(acknowledged)

    def was_full(self, done: int) -> bool:
        """Whether more may wait after a batch of so many: else nothing does that a hint will not tell of."""
        return done >= self._batch

    async def drain(self, deadline_s: float) -> None:
        """At stop: publish what waits, as long as that works and time is left."""
        try:
            async with asyncio.timeout(deadline_s):
                while await self.run_once():
                    pass
        except (OrderServiceError, TimeoutError):
            return  # it is in the outbox: the next start publishes it

    async def wait(self) -> None:
        """Sleep until a hint, at most `idle_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._idle_s):
                await self._awake.wait()
                await asyncio.sleep(self._gather_s)
        self._awake.clear()
