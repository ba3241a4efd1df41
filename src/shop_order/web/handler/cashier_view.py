"""What the cashier shows of an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, PaymentAction, QrCode
from shop_order.domain.errors import OrderServiceError
from shop_order.domain.ports import Device, TradeState
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.service.checkout import MoneyBack, Stage, money_back

_UNPAID = frozenset({TradeState.ABSENT, TradeState.WAITING, TradeState.CLOSED})
_POLL_S = {Stage.PENDING: 10, Stage.CONFIRMING: 2, Stage.OVER: 3, Stage.REFUNDING: 3}


class Way(StrEnum):
    """What the buyer does to pay the open attempt on this device."""

    WAIT = "wait"  # nothing, or they are at the provider's page
    SCAN = "scan"
    BRIDGE = "bridge"  # press a button inside the provider's app
    ELSEWHERE = "elsewhere"  # it was opened for another app


@dataclass(frozen=True, slots=True)
class CashierView:
    """The order, the state of its payment, and how it can be paid.

    `provider_state` is None if the provider was not queried. `channels` has the reason why each channel is
    unavailable, or None. `fits` tells whether the cashier would open the open attempt on this device. `go` is
    the channel whose payment continues by itself. URLs are empty if there are none.
    """

    order: Order
    stage: Stage
    provider_state: TradeState | None
    may_pay: bool
    channels: Mapping[PaymentType, OrderServiceError | None]
    now_ms: int
    shop_name: str
    return_url: str
    cancel_url: str
    device: Device
    fits: bool
    balance_fen: int | None
    go: PaymentType | None

    @property
    def left_s(self) -> int:
        """Seconds left to pay; not positive after the deadline."""
        return (self.order.expire_ms - self.now_ms) // 1000

    @property
    def is_unpaid(self) -> bool:
        """Whether the provider has no payment and the buyer may still pay."""
        return self.provider_state in _UNPAID and self.may_pay

    @property
    def chosen(self) -> PaymentType | None:
        """The channel that is chosen at first; None if none is available."""
        if self.go:
            return self.go
        return next((kind for kind, error in self.channels.items() if error is None), None)

    @property
    def open_channel(self) -> PaymentType | None:
        """The channel of the open attempt."""
        payment = self.order.money.open_payment()
        return payment.payment_type if payment else None

    @property
    def way(self) -> Way:
        """What the buyer does to pay the open attempt."""
        if isinstance(self._action, QrCode):
            return Way.SCAN
        if not isinstance(self._action, BridgeParameters):
            return Way.WAIT
        return Way.BRIDGE if self.fits and self.device is Device.WECHAT else Way.ELSEWHERE

    @property
    def in_hand(self) -> bool:
        """Whether this device is a phone, the screen of which nobody scans with it."""
        return self.device in (Device.PHONE, Device.WECHAT)

    @property
    def offers_change(self) -> bool:
        """Whether the other methods are shown unfolded."""
        match self.way:
            case Way.SCAN:
                return self.in_hand
            case Way.BRIDGE:
                return False
            case Way.ELSEWHERE:
                return True
        return self.is_unpaid

    @property
    def _action(self) -> PaymentAction | None:
        payment = self.order.money.open_payment()
        return payment.action if payment else None

    @property
    def qr_code(self) -> str:
        """The text of the QR code to pay with; empty if there is none."""
        return self._action.text if isinstance(self._action, QrCode) else ""

    @property
    def links_code(self) -> bool:
        """Whether the code is a page that can be opened as well."""
        return self.qr_code.startswith(("https://", "http://"))

    @property
    def jsapi_params(self) -> Mapping[str, str] | None:
        """The parameters that the provider's app is called with; None if it is not used."""
        return self._action.values if isinstance(self._action, BridgeParameters) else None

    @property
    def back(self) -> MoneyBack:
        """The order's refunds."""
        return money_back(self.order.refunds.values())

    @property
    def poll_s(self) -> int | None:
        """Seconds until the next refresh; None if the page is final."""
        late = self.order.money.open_payment() or self.provider_state in (
            TradeState.WAITING,
            TradeState.UNKNOWN,
        )
        if self.stage is Stage.CANCELLED and late:
            return _POLL_S[Stage.OVER]  # a late payment may still arrive, and is refunded
        return _POLL_S.get(self.stage)

    @property
    def refresh_s(self) -> int:
        """Seconds until a refresh without scripts; longer where it would reset the buyer's choice."""
        answered = self.provider_state not in (None, TradeState.UNKNOWN)
        chooses = self.may_pay and answered and self.way is not Way.SCAN
        return 20 if chooses or self.stage is Stage.PENDING else 5

    @property
    def next_url(self) -> str:
        """The shop's page to continue on; `cancel_url` unless the order is paid."""
        unpaid = self.order.status in (OrderStatus.PENDING, OrderStatus.CANCELLED)
        return self.cancel_url if unpaid else self.return_url
