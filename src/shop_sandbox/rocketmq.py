"""The neighbours as consumers of the broker: the inventory, and services with their own lists of orders."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from shop_order.api.client.events import Delivery, Handler, order_events
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import events
from shop_sandbox.inbox import EventInbox

INVENTORY_GROUP = "shop-inventory"
NOTIFICATIONS_GROUP = "shop-order-notifications"
STOCK_TYPES = ("order.paid", "order.cancelled", *events.RESTOCKING)


@contextlib.asynccontextmanager
async def consuming(url: str, *, stock: EventInbox, lists: EventInbox) -> AsyncIterator[None]:
    """Let both groups read `order-events` until the block ends. Raises ValueError for a bad `url`."""
    consumers = (
        order_events(url, INVENTORY_GROUP, deliver_to(stock), types=STOCK_TYPES),
        order_events(url, NOTIFICATIONS_GROUP, deliver_to(lists)),
    )
    async with contextlib.AsyncExitStack() as stack:
        for consumer in consumers:
            stack.push_async_callback(consumer.close)
            await consumer.open()
        yield


def deliver_to(inbox: EventInbox) -> Handler:
    """A handler for an inbox, which counts failed attempts itself; only events without an id are refused."""

    async def take(delivery: Delivery) -> bool:
        result = await inbox.deliver(pb.EventBatch(cloud_events=[delivery.body]))
        if result.accepted_ids:
            return True
        if events.event_id(delivery.body):
            raise NotAccepted(
                f"event {events.event_id(delivery.body)} of {delivery.key} was not accepted yet"
            )
        return False

    return take


class NotAccepted(Exception):
    """The inbox needs the event again."""
