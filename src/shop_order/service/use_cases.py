"""All use cases that callers reach, for the handlers of gRPC and REST."""

from __future__ import annotations

from dataclasses import dataclass

from shop_order.service.cart import CartService
from shop_order.service.channels import Channels
from shop_order.service.checkout import Checkout
from shop_order.service.order import OrderService
from shop_order.service.pay import PaymentService
from shop_order.service.place import PlacingService
from shop_order.service.refund import RefundService
from shop_order.service.reservation import ReservationService
from shop_order.service.upkeep.orderlog import OrderLogService
from shop_order.service.upkeep.settled_days import SettledDays
from shop_order.service.upkeep.statistics import Statistics
from shop_order.service.wallet import WalletAnswers


@dataclass(frozen=True, slots=True)
class UseCases:
    """Every handler gets this object, so that a new use case is a field here and its construction."""

    carts: CartService
    placing: PlacingService
    orders: OrderService
    payments: PaymentService
    refunds: RefundService
    channels: Channels
    checkout: Checkout
    reservations: ReservationService
    order_log: OrderLogService
    statistics: Statistics
    wallet_answers: WalletAnswers
    settled_days: SettledDays
