"""Events as messages: what the outbox relay publishes, whatever carries it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shop_order.domain.errors import DependencyDown
from shop_order.domain.event.order_events import ORDER_CREATED, Event
from shop_order.gateway.inboxes import cloud_event
from shop_order.pkg.message import BrokerUnavailable, Message, Publisher
from shop_order.pkg.message.base import ORDER_EVENTS, ORDER_TIMEOUTS
from shop_order.pkg.tracing import is_recorded

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Span, Tracing

FARTHEST_MS = 3 * 86_400_000 - 60_000  # RocketMQ holds messages back for three days at most


class PublishedEvents:
    """See `domain.ports.Inboxes`.

    A new order also sends itself a message for the time it runs out; the scan stays behind it. `ahead_ms`
    is how far the shop's clock is ahead of real time.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        now_ms: Callable[[], int],
        ahead_ms: Callable[[], int],
        tracing: Tracing | None = None,
    ) -> None:
        self._publisher = publisher
        self._now_ms = now_ms
        self._ahead_ms = ahead_ms
        self._tracing = tracing

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        if self._tracing is None:
            return await self._publish(events)
        spans = {
            event.id: self._sending(self._tracing, event)
            for event in events
            if not event.traceparent or is_recorded(event.traceparent)
        }
        stored: Sequence[int] = ()
        try:
            stored = await self._publish(
                [replace(e, traceparent=spans[e.id].traceparent) if e.id in spans else e for e in events]
            )
            return stored
        finally:
            for id, span in spans.items():
                if id not in stored:
                    span.failed("not stored")
                span.end()

    def _sending(self, tracing: Tracing, event: Event) -> Span:
        about = {
            "messaging.system": "rocketmq" if self._publisher.brokered else "inbox",
            "messaging.operation.type": "send",
            "messaging.destination.name": ORDER_EVENTS,
            "messaging.message.id": str(event.id),
            "shop.order_sn": event.order_sn,
            "shop.event": event.type,
            "shop.waited_ms": max(self._now_ms() + self._ahead_ms() - event.created_ms, 0),
        }
        return tracing.producer(f"send {ORDER_EVENTS}", event.traceparent, about)

    async def _publish(self, events: Sequence[Event]) -> Sequence[int]:
        messages = {event.id: self._messages(event) for event in events}
        try:
            stored = await self._publisher.publish([m for of_one in messages.values() for m in of_one])
        except BrokerUnavailable as away:
            raise DependencyDown("message_broker", str(away)) from away
        return [id for id, of_one in messages.items() if all(m.id in stored for m in of_one)]

    def _messages(self, event: Event) -> list[Message]:
        id, sn, body = str(event.id), event.order_sn, cloud_event(event)
        if not self._publisher.brokered:
            return [Message(id, ORDER_EVENTS, sn, event.type, body)]
        properties = {"version": str(event.version), "traceparent": event.traceparent or of_order(event)}
        if event.request_id:
            properties["x-request-id"] = event.request_id
        messages = [Message(id, ORDER_EVENTS, sn, event.type, body, properties)]
        if event.type == ORDER_CREATED:
            due_ms = int(json.loads(event.payload)["expire_at_ms"]) - self._ahead_ms()
            if due_ms < self._now_ms() + FARTHEST_MS:
                late = Message(
                    f"{id}/late", ORDER_TIMEOUTS, sn, "order.timeout", sn.encode(), properties, max(due_ms, 1)
                )
                messages.append(late)
        return messages


def of_order(event: Event) -> str:
    """W3C trace context where the request was not traced: one trace an order, one span an event."""
    trace = hashlib.sha256(event.order_sn.encode()).hexdigest()[:32]
    return f"00-{trace}-{event.hash.hex()[:16]}-01"
