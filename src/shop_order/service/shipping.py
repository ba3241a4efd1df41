"""Tells providers that goods are on their way, where they keep our money until then."""

from __future__ import annotations

from dataclasses import dataclass

from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch, ChannelUnavailable
from shop_order.domain.event.order_events import PAYMENT_SHIPPING_TOLD
from shop_order.domain.ports import Clock, Orders, Shipment
from shop_order.domain.status import SHIPPED_ORDER
from shop_order.domain.valueobject.item import title
from shop_order.service.alerts import Alert
from shop_order.service.channels import Channels

MANY_TRIES = 6  # after half an hour


@dataclass(kw_only=True, eq=False)
class Shipping:
    """Its to-dos are payments that are due for a query: the commit that ships the order makes them due."""

    orders: Orders
    channels: Channels
    clock: Clock
    alert: Alert

    async def tell(self, payment: Payment, tries: int) -> bool:
        """Tell the provider, unless the order has not been shipped; return whether nothing is left to do.

        The history records it, so that whoever stops the telling before is found.
        """
        order = await self.orders.get(payment.order_sn)
        if order.status not in SHIPPED_ORDER or await self._was_told(payment):
            return True
        shipment = Shipment(
            order.logistics_company,
            order.logistics_no,
            title(order.items, order.order_sn),
            order.address.phone,
            order.shipped_ms or order.updated_ms,
        )
        try:
            channel = self.channels.telling_shipping(payment.payment_type)
            done = await channel.tell_shipping(payment, shipment)
        except (AmountMismatch, ChannelUnavailable):  # not configured now
            done = False
        if done:
            told_ms = self.clock()
            await self.orders.change(
                payment.order_sn, lambda order: order.shipping_told(payment.payment_sn, told_ms)
            )
        elif tries >= MANY_TRIES:
            self.alert("shipping_untold", order_sn=payment.order_sn, payment_sn=payment.payment_sn)
        return done

    async def _was_told(self, payment: Payment) -> bool:
        """Whether it was told, and only the to-do is left: by a process that died, or somebody's hand."""
        history = await self.orders.history(payment.order_sn)
        number = f'"{payment.payment_sn}"'.encode()
        return any(event.type == PAYMENT_SHIPPING_TOLD and number in event.payload for event in history)
