"""The rules of orders, as the settings say them now."""

from __future__ import annotations

from shop_order.configs import Settings
from shop_order.domain.valueobject.pricing import Pricing
from shop_order.service.placing import OrderRules


def order_rules(settings: Settings) -> OrderRules:
    """Times in ms."""
    return OrderRules(
        settings.order.pay_timeout_s * 1000,
        settings.order.auto_confirm_s * 1000,
        settings.limit.unpaid_orders,
        pricing(settings),
    )


def pricing(settings: Settings) -> Pricing:
    """What orders cost beside their goods, by these settings."""
    ours = settings.pricing
    return Pricing(ours.freight_fen, ours.free_freight_from_fen, ours.zones_fen)
