"""Events as messages: what the outbox relay publishes, over any transport."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shop_order.domain.errors import DependencyDown
from shop_order.domain.event.order_events import ORDER_CREATED, Event, payload
from shop_order.domain.event.wallet_events import REQUESTS, WalletCommand, wallet_command
from shop_order.pkg.log import get_logger
from shop_order.pkg.message import (
    ORDER_EVENTS,
    ORDER_TIMEOUTS,
    WALLET_COMMANDS,
    BrokerUnavailable,
    Message,
    Publisher,
)
from shop_order.pkg.tracing import is_recorded

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Span, Tracing

log = get_logger("events")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
MAX_DELAY_MS = 3 * 86_400_000 - 60_000  # RocketMQ delays messages for three days at most


class MessageEventPublisher:
    """See `domain.ports.EventPublisher`.

    A new order also gets a delayed message for its expiry, besides the scan for expired orders. An event that
    is a request to the wallet is sent to it too. `ahead_ms`: how far the shop's clock is ahead of real time.
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
        attributes = {
            "messaging.system": "rocketmq" if self._publisher.brokered else "inbox",
            "messaging.operation.type": "send",
            "messaging.destination.name": ORDER_EVENTS,
            "messaging.message.id": str(event.id),
            "shop.order_sn": event.order_sn,
            "shop.event": event.type,
            "shop.waited_ms": max(self._now_ms() + self._ahead_ms() - event.created_ms, 0),
        }
        return tracing.producer(f"send {ORDER_EVENTS}", event.traceparent, attributes)

    async def _publish(self, events: Sequence[Event]) -> Sequence[int]:
        messages = self._readable(events)
        try:
            stored = await self._publisher.publish([m for of_event in messages.values() for m in of_event])
        except BrokerUnavailable as down:
            raise DependencyDown("message_broker", str(down)) from down
        return [id for id, of_event in messages.items() if all(m.id in stored for m in of_event)]

    def _readable(self, events: Sequence[Event]) -> dict[int, list[Message]]:
        """Return the messages of each event. One that was altered holds back its own order, no other."""
        messages: dict[int, list[Message]] = {}
        held: set[str] = set()
        for event in events:
            if event.order_sn in held:
                continue
            try:
                messages[event.id] = self._messages(event)
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as altered:
                held.add(event.order_sn)
                log.error("event_unreadable", order_sn=event.order_sn, id=event.id, error=repr(altered))
        return messages

    def _messages(self, event: Event) -> list[Message]:
        id, sn, body = str(event.id), event.order_sn, cloud_event(event)
        command = wallet_command(event, self._ahead_ms()) if event.type in REQUESTS else None
        if not self._publisher.brokered:
            messages = [Message(id, ORDER_EVENTS, sn, event.type, body)]
            return [*messages, _wallet_message(event, command, {})] if command else messages
        properties = {
            "version": str(event.version),
            "traceparent": event.traceparent or order_traceparent(event),
        }
        if event.request_id:
            properties["x-request-id"] = event.request_id
        messages = [Message(id, ORDER_EVENTS, sn, event.type, body, properties)]
        if command:
            messages.append(_wallet_message(event, command, properties))
        if event.type == ORDER_CREATED:
            due_ms = int(json.loads(event.payload)["expire_at_ms"]) - self._ahead_ms()
            if due_ms < self._now_ms() + MAX_DELAY_MS:
                timeout = Message(
                    f"{id}/late", ORDER_TIMEOUTS, sn, "order.timeout", sn.encode(), properties, max(due_ms, 1)
                )
                messages.append(timeout)
        return messages


def order_traceparent(event: Event) -> str:
    """Return a W3C trace context for an untraced request: one trace per order, one span per event."""
    trace = hashlib.sha256(event.order_sn.encode()).hexdigest()[:32]
    return f"00-{trace}-{event.hash.hex()[:16]}-01"


def _wallet_message(event: Event, command: WalletCommand, properties: Mapping[str, str]) -> Message:
    id = f"{event.id}/wallet"  # another event than the order's, so another id
    body = _envelope(event, id, command.type, payload(command.data))
    return Message(id, WALLET_COMMANDS, command.payment_sn, command.type, body, properties)


def cloud_event(event: Event) -> bytes:
    """Return the event as CloudEvents 1.0 JSON; `data` is the payload that was hashed.

    The extension attributes `traceparent` and `requestid` identify the request.
    """
    return _envelope(event, str(event.id), event.type, event.payload)


def _envelope(event: Event, id: str, type: str, data: bytes) -> bytes:
    at = (_EPOCH + event.created_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = (
        f'{{"specversion":"1.0","id":"{id}","source":"/order-service","type":"{type}",'
        f'"subject":"{event.order_sn}","time":"{at}","datacontenttype":"application/json",'
    )
    if event.traceparent:
        head += f'"traceparent":"{event.traceparent}",'
    if event.request_id:
        head += f'"requestid":{json.dumps(event.request_id)},'  # chosen by the caller: it may contain quotes
    return head.encode() + b'"data":' + data + b"}"
