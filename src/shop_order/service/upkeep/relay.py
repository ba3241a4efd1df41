"""The outbox relay: publish every event at least once, those of an order in order of version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from shop_order.domain.errors import OrderServiceError
from shop_order.domain.ports import Clock, EventPublisher, Outbox


@dataclass(kw_only=True, eq=False)
class Relay:
    """Publishes waiting events: after a `hint`, and every `idle_s`.

    A hint takes effect after `gather_s`, since a large batch costs no more than a small one.
    """

    outbox: Outbox
    publisher: EventPublisher
    real_clock: Clock
    batch: int = 128
    idle_s: float = 1.0
    gather_s: float = 0.02
    observe: Callable[[int], None] = lambda size: None
    _awake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def hint(self) -> None:
        """Wake the relay after a commit."""
        self._awake.set()

    async def run_once(self) -> int:
        """Publish one batch. Return how many events were acknowledged.

        An event that is not acknowledged is retried, and holds back the later ones of its order.
        Raises DependencyDown, DeadlineExceeded.
        """
        events = await self.outbox.take(self.batch, self.real_clock())
        if not events:
            return 0
        acknowledged = set(await self.publisher.deliver(events))
        if acknowledged:
            await self.outbox.published(acknowledged)
            self.observe(len(acknowledged))
        if refused := [event.id for event in events if event.id not in acknowledged]:
            await self.outbox.refused(refused, self.real_clock())
        return len(acknowledged)

    def has_more(self, done: int) -> bool:
        """Whether more events may be waiting after a batch of `done`."""
        return done >= self.batch

    async def drain(self, deadline_s: float) -> None:
        """At a stop, publish waiting events until one fails or the time is up."""
        try:
            async with asyncio.timeout(deadline_s):
                while await self.run_once():
                    pass
        except (OrderServiceError, TimeoutError):
            return  # the rest stays in the outbox

    async def wait(self) -> None:
        """Sleep until a hint, for at most `idle_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.idle_s):
                await self._awake.wait()
                await asyncio.sleep(self.gather_s)
        self._awake.clear()
