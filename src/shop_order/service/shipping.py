"""Tells providers that goods are on their way, where they keep our money until then."""

from __future__ import annotations

from dataclasses import dataclass

from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import Orders, Shipment, TellsShipping
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.item import title
from shop_order.service.alerts import Alert
from shop_order.service.channels import Channels

MANY_TRIES = 6  # after half an hour


@dataclass(kw_only=True, eq=False)
class Shipping:
    """Its to-dos are payments that are due for a query: the commit that ships the order makes them due."""

    orders: Orders
    channels: Channels
    alert: Alert

    async def tell(self, payment: Payment, tries: int) -> bool:
        """Tell the provider, unless the order has not been shipped; return whether nothing is left to do.

        Raises ChannelUnavailable.
        """
        order = await self.orders.get(payment.order_sn)
        if order.status not in (OrderStatus.SHIPPED, OrderStatus.COMPLETED):
            return True
        shipment = Shipment(
            order.logistics_company,
            order.logistics_no,
            title(order.items, order.order_sn),
            order.address.phone,
            order.shipped_ms or order.updated_ms,
        )
        channel: TellsShipping | None = self.channels.telling_shipping(payment.payment_type)
        try:
            done = channel is None or await channel.tell_shipping(payment, shipment)
        except AmountMismatch:
            done = False
        if not done and tries >= MANY_TRIES:
            self.alert("shipping_untold", order_sn=payment.order_sn, payment_sn=payment.payment_sn)
        return done
