"""Order events from the message broker, for other services."""

from __future__ import annotations

from shop_order.pkg.message import ORDER_EVENTS, Consumer, Delivery, Group, Handler, open_consumer


def order_events(url: str, group: str, handler: Handler, *, types: tuple[str, ...] = ()) -> Consumer:
    """A consumer of CloudEvents: at least once, in order per order; all types unless `types` is given.

    `url` is `rocketmq://proxy:8081[?namesrv=host:9876]`; with a name server, a missing consumer group is
    created. Raises ValueError for another engine.
    """
    consumer = open_consumer(url, handler, group=Group(group, in_order=True), topic=ORDER_EVENTS, tags=types)
    if consumer is None:
        raise ValueError("events are read from a broker: rocketmq://host:port")
    return consumer


__all__ = ["Consumer", "Delivery", "Handler", "order_events"]
