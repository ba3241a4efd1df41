"""Events for other services that read them from the broker."""

from __future__ import annotations

from shop_order.pkg.message import Consumer, Delivery, Group, Handler, open_consumer
from shop_order.pkg.message.base import ORDER_EVENTS


def order_events(url: str, group: str, handler: Handler, *, types: tuple[str, ...] = ()) -> Consumer:
    """A consumer of CloudEvents, each order's in order, at least once; all types without `types`.

    `url` is `rocketmq://proxy:8081[?namesrv=host:9876]`; with a name server the group is made where it is
    missing. Raises ValueError for another engine.
    """
    consumer = open_consumer(url, handler, group=Group(group, in_order=True), topic=ORDER_EVENTS, tags=types)
    if consumer is None:
        raise ValueError("events are read from a broker: rocketmq://host:port")
    return consumer


__all__ = ["Consumer", "Delivery", "Handler", "order_events"]
