"""Messages between services; the scheme of the URL picks the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from shop_order.pkg.message.base import (
    BrokerUnavailable,
    Consumer,
    Delivery,
    Group,
    Handler,
    Message,
    Publisher,
)

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


def open_publisher(url: str, *, hand_over: HandOver) -> Publisher:
    """The publisher of an engine URL, not opened yet; `embedded:` delivers by `hand_over`.

    Raises ValueError for a scheme that is not built, or a URL that can't be read.
    """
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        return EmbeddedPublisher(hand_over)
    if scheme == "rocketmq":
        from shop_order.pkg.message.rocketmq import parse
        from shop_order.pkg.message.rocketmq.publisher import RocketPublisher

        return RocketPublisher(parse(url))
    raise ValueError(f"no messages over {scheme}:")


def open_consumer(
    url: str, handler: Handler, *, group: Group, topic: str, tags: tuple[str, ...] = ()
) -> Consumer | None:
    """A consumer, not opened yet; None for `embedded:`, which calls the inboxes itself.

    Without `tags` it gets every message of the topic. Raises ValueError as `open_publisher` does.
    """
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        return None
    if scheme == "rocketmq":
        from shop_order.pkg.message.rocketmq import parse
        from shop_order.pkg.message.rocketmq.consumer import RocketConsumer

        return RocketConsumer(parse(url), handler, group=group, topic=topic, tags=tags)
    raise ValueError(f"no messages over {scheme}:")


__all__ = [
    "BrokerUnavailable",
    "Consumer",
    "Delivery",
    "EmbeddedPublisher",
    "Group",
    "HandOver",
    "Handler",
    "Message",
    "Publisher",
    "open_consumer",
    "open_publisher",
]
