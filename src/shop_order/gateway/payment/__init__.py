"""The table of payment channels, in the cashier's order.

A channel is a package in this folder that implements `domain.ports.PaymentChannel`, and one row here
(CONTRIBUTING, "A payment channel").
"""

from shop_order.domain.ports import NoticeRoute
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment import alipay, balance
from shop_order.gateway.payment.base import ChannelEntry

CHANNELS: dict[PaymentType, ChannelEntry] = {
    PaymentType.ALIPAY: alipay.ENTRY,
    PaymentType.BALANCE: balance.ENTRY,
}


def notice_routes() -> tuple[NoticeRoute, ...]:
    """Return the notice routes of all channels, configured or not."""
    return tuple(entry.notice for entry in CHANNELS.values() if entry.notice)
