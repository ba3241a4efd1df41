"""The payment channels, and whether an order can be paid through one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountNotPayable, ChannelUnavailable, InvalidArgument, OrderServiceError
from shop_order.domain.ports import Device, Payer, PaymentChannel, TellsShipping, TradeTypes
from shop_order.domain.status import PaymentType


@dataclass(frozen=True, slots=True)
class ChosenChannel:
    """An available channel, and the trade type to use."""

    channel: PaymentChannel
    trade_type: str

    def works(self, payment: Payment, now_ms: int) -> bool:
        """Whether a buyer can still begin to pay by what the open attempt gave them."""
        link_ms = self.channel.trade_types.link_ms.get(payment.trade_type)
        return link_ms is None or now_ms < payment.created_ms + link_ms

    def check_amount(self, amount_fen: int) -> None:
        """Check that the channel takes this amount in one payment. Raises AmountNotPayable."""
        channel = self.channel
        if not channel.smallest_fen <= amount_fen <= channel.largest_fen:
            code = channel.payment_type.code
            raise AmountNotPayable(code, smallest_fen=channel.smallest_fen, largest_fen=channel.largest_fen)

    def wants_openid(self, payer: Payer) -> bool:
        """Whether it still needs the buyer's openid."""
        return self.trade_type in self.channel.trade_types.by_openid and not payer.openid

    def check_payer(self, payer: Payer) -> None:
        """Check that it knows who pays, if it must. Raises InvalidArgument."""
        if self.wants_openid(payer):
            raise InvalidArgument("openid", "required")


class Channels:
    """The configured channels, in the order in which the cashier lists them."""

    def __init__(self, configured: Mapping[PaymentType, PaymentChannel]) -> None:
        self._configured = configured

    def get(self, payment_type: PaymentType) -> PaymentChannel:
        """The channel of this type. Raises InvalidArgument (none chosen), ChannelUnavailable."""
        if payment_type is PaymentType.NOT_CHOSEN:
            raise InvalidArgument("payment_type", "required")
        if payment_type not in self._configured:
            raise ChannelUnavailable(payment_type.code)
        return self._configured[payment_type]

    def telling_shipping(self, payment_type: PaymentType) -> TellsShipping:
        """The channel whose provider must be told of the shipping. Raises ChannelUnavailable."""
        channel = self.get(payment_type)
        if not hasattr(channel, "tell_shipping"):
            raise ChannelUnavailable(payment_type.code)
        return cast(TellsShipping, channel)

    def seller(self, payment_type: PaymentType) -> str:
        """Our account at the provider; empty if the channel is not configured."""
        channel = self._configured.get(payment_type)
        return channel.seller if channel else ""

    def choose(self, payment_type: PaymentType, trade_type: str = "") -> ChosenChannel:
        """The channel with this trade type, or its default if empty.

        Raises InvalidArgument (none chosen, no such trade type), ChannelUnavailable.
        """
        channel = self.get(payment_type)
        types = channel.trade_types
        chosen = trade_type or types.offered[0]
        if chosen in types.unavailable:
            raise ChannelUnavailable(payment_type.code, "trade_type")
        if chosen not in types.offered:
            raise InvalidArgument("trade_type", "not_one_of", allowed=",".join(types.offered))
        if not channel.available():
            raise ChannelUnavailable(payment_type.code)
        return ChosenChannel(channel, chosen)

    def choose_at_cashier(self, payment_type: PaymentType, device: Device) -> ChosenChannel:
        """The channel with the cashier's trade type for this device. Raises ChannelUnavailable."""
        types = self.get(payment_type).trade_types
        if device in types.not_on:
            raise ChannelUnavailable(payment_type.code, "open_in_browser")
        choice = self.choose(payment_type, types.at_cashier.get(device, ""))
        if choice.trade_type in types.by_openid and not types.openid_page:
            raise ChannelUnavailable(payment_type.code, "trade_type")
        return choice

    def is_cashiers(self, payment: Payment, device: Device) -> bool:
        """Whether the cashier would open this attempt on this device."""
        channel = self._configured.get(payment.payment_type)
        types = channel.trade_types if channel else TradeTypes()
        return types.at_cashier.get(device, types.offered[0]) == payment.trade_type

    def offers(self, order: Order, device: Device) -> dict[PaymentType, OrderServiceError | None]:
        """All channels for the cashier on this device, each with the reason why it can't pay, or None."""
        found: dict[PaymentType, OrderServiceError | None] = {}
        for payment_type in dict.fromkeys([*self._configured, *PaymentType]):
            if payment_type is not PaymentType.NOT_CHOSEN:
                try:
                    self.choose_at_cashier(payment_type, device).check_amount(order.pay_fen)
                    found[payment_type] = None
                except (ChannelUnavailable, AmountNotPayable) as refused:
                    found[payment_type] = refused
        return found
