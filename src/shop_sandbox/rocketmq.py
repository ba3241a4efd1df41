"""The neighbours as consumers of the broker: the inventory, and those who keep their own lists of orders."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from shop_order.api.client.events import Delivery, Handler, order_events
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import events
from shop_sandbox.inbox import EventInbox

INVENTORY_GROUP = "shop-inventory"
NOTIFICATIONS_GROUP = "shop-order-notifications"
STOCK_TYPES = ("order.paid", "order.cancelled")


@contextlib.asynccontextmanager
async def consuming(url: str, *, stock: EventInbox, lists: EventInbox) -> AsyncIterator[None]:
    """Both groups read `order-events` until the block ends. Raises ValueError for a bad `url`."""
    consumers = (
        order_events(url, INVENTORY_GROUP, into(stock), types=STOCK_TYPES),
        order_events(url, NOTIFICATIONS_GROUP, into(lists)),
    )
    async with contextlib.AsyncExitStack() as stack:
        for consumer in consumers:
            stack.push_async_callback(consumer.close)
            await consumer.open()
        yield


def into(inbox: EventInbox) -> Handler:
    """Deliver to an inbox, which counts vain attempts and buries by itself; only the nameless are refused."""

    async def take(delivery: Delivery) -> bool:
        result = await inbox.deliver(pb.EventBatch(cloud_events=[delivery.body]))
        if result.accepted_ids:
            return True
        if events.event_id(delivery.body):
            raise NotYet(f"event {events.event_id(delivery.body)} of {delivery.key} is not done yet")
        return False

    return take


class NotYet(Exception):
    """The inbox wants the event again."""
