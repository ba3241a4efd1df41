"""Messages between services; the scheme of the URL picks the engine."""

from __future__ import annotations

from shop_order.pkg.message.base import (
    BrokerUnavailable,
    Consumer,
    Delivery,
    Group,
    Handler,
    Message,
    Publisher,
)
from shop_order.pkg.message.embedded import HandOver


def open_publisher(url: str, *, hand_over: HandOver) -> Publisher:
    """The publisher of an engine URL, not opened yet; `embedded:` delivers by `hand_over`.

    Raises ValueError for a scheme that is not built, or a URL that can't be read.
    """
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        from shop_order.pkg.message.embedded import EmbeddedPublisher

        return EmbeddedPublisher(hand_over)
    if scheme == "rocketmq":
        from shop_order.pkg.message.rocketmq.connection import parse
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
        from shop_order.pkg.message.rocketmq.connection import parse
        from shop_order.pkg.message.rocketmq.consumer import RocketConsumer

        return RocketConsumer(parse(url), handler, group=group, topic=topic, tags=tags)
    raise ValueError(f"no messages over {scheme}:")


__all__ = [
    "BrokerUnavailable",
    "Consumer",
    "Delivery",
    "Group",
    "HandOver",
    "Handler",
    "Message",
    "Publisher",
    "open_consumer",
    "open_publisher",
]
