"""Events as messages: what the outbox relay publishes, whatever carries it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from shop_order.domain.errors import DependencyDown
from shop_order.domain.event.order_events import ORDER_CREATED, Event
from shop_order.gateway.inboxes import cloud_event
from shop_order.pkg.message import BrokerAway, Message, Publisher
from shop_order.pkg.message.topics import ORDER_EVENTS, ORDER_TIMEOUTS

FARTHEST_MS = 3 * 86_400_000 - 60_000  # RocketMQ holds messages back for three days at most


class PublishedEvents:
    """See `domain.ports.Inboxes`.

    A new order also sends itself a message for the time it runs out; the scan stays behind it. `ahead_ms`
    is how far the shop's clock is ahead of real time.
    """

    def __init__(
        self, publisher: Publisher, *, now_ms: Callable[[], int], ahead_ms: Callable[[], int]
    ) -> None:
        self._publisher = publisher
        self._now_ms = now_ms
        self._ahead_ms = ahead_ms

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        messages = {event.id: self._messages(event) for event in events}
        try:
            stored = await self._publisher.publish([m for of_one in messages.values() for m in of_one])
        except BrokerAway as away:
            raise DependencyDown("the message broker") from away
        return [id for id, of_one in messages.items() if all(m.id in stored for m in of_one)]

    def _messages(self, event: Event) -> list[Message]:
        id, sn, body = str(event.id), event.order_sn, cloud_event(event)
        if not self._publisher.brokered:
            return [Message(id, ORDER_EVENTS, sn, event.type, body)]
        properties = {"version": str(event.version), "traceparent": traceparent(event)}
        messages = [Message(id, ORDER_EVENTS, sn, event.type, body, properties)]
        if event.type == ORDER_CREATED:
            due_ms = int(json.loads(event.payload)["expire_at_ms"]) - self._ahead_ms()
            if due_ms < self._now_ms() + FARTHEST_MS:
                late = Message(
                    f"{id}/late", ORDER_TIMEOUTS, sn, "order.timeout", sn.encode(), properties, max(due_ms, 1)
                )
                messages.append(late)
        return messages


def traceparent(event: Event) -> str:
    """W3C trace context: one trace an order, one span an event, the same at every delivery."""
    trace = hashlib.sha256(event.order_sn.encode()).hexdigest()[:32]
    return f"00-{trace}-{event.hash.hex()[:16]}-01"
