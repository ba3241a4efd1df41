"""The neighbours as consumers of the broker: the inventory, and services with their own lists of orders."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from shop_order.api.client.events import Delivery, Handler, order_events, wallet_commands
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import events
from shop_sandbox.inbox import EventInbox
from shop_sandbox.wallet import Wallet

INVENTORY_GROUP = "shop-inventory"
NOTIFICATIONS_GROUP = "shop-order-notifications"
STOCK_TYPES = ("order.paid", "order.cancelled", *events.RESTOCKING)
WALLET_GROUP = "shop-wallet"


@contextlib.asynccontextmanager
async def consuming(url: str, *, stock: EventInbox, lists: EventInbox, wallet: Wallet) -> AsyncIterator[None]:
    """Let all groups read their topics until the block ends. Raises ValueError for a bad `url`."""
    consumers = (
        order_events(url, INVENTORY_GROUP, deliver_to(stock), types=STOCK_TYPES),
        order_events(url, NOTIFICATIONS_GROUP, deliver_to(lists)),
        wallet_commands(url, WALLET_GROUP, execute_with(wallet)),
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


def execute_with(wallet: Wallet) -> Handler:
    """A handler for the wallet, which keeps what it can't execute by itself."""

    async def take(delivery: Delivery) -> bool:
        await wallet.take(delivery.body)
        return True

    return take


class NotAccepted(Exception):
    """The inbox needs the event again."""
