"""Messages directly to the consumers' inboxes: no broker, the outbox is the only store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from shop_order.pkg.message.base import Message

HandOver = Callable[[Sequence[bytes]], Awaitable[set[str]]]
"""Delivers bodies to every inbox, in order; the ids that all of them accepted."""


class EmbeddedPublisher:
    """See `base.Publisher`; only bodies are carried."""

    brokered = False

    def __init__(self, hand_over: HandOver) -> None:
        self._hand_over = hand_over

    async def open(self) -> None:
        """Nothing to open: the channels belong to their owner."""

    async def close(self) -> None:
        """Nothing to close."""

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        """Raises what `hand_over` raises."""
        accepted = await self._hand_over([message.body for message in messages])
        return {message.id for message in messages if message.id in accepted}
