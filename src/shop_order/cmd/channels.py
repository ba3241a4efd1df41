"""The payment channels of the table with their settings, and the use cases on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shop_order.cmd.observing import seen
from shop_order.configs import Settings
from shop_order.domain.ports import Clock, PaymentChannel
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment import CHANNELS
from shop_order.gateway.payment.base import ChannelContext
from shop_order.pkg.ids import OrderNumbers
from shop_order.pkg.log import get_logger
from shop_order.service.attempts import Attempts
from shop_order.service.checkout import Checkout
from shop_order.service.notice import GatewaySecret
from shop_order.service.payment import PaymentService
from shop_order.service.settlement import Settlement
from shop_order.web.handler.notice import NOTICE_PATH

if TYPE_CHECKING:
    from shop_order.cmd.core import Core
    from shop_order.pkg.tracing.otlp import Tracing


def connect_channels(
    settings: Callable[[], Settings], real_clock: Clock, tracing: Tracing | None
) -> dict[PaymentType, PaymentChannel]:
    """The channels whose settings are complete, in the order of the table."""
    now, found = settings(), {}
    for payment_type, entry in CHANNELS.items():
        code = payment_type.code
        context = ChannelContext(
            notify_url=f"{now.server.base_url}{NOTICE_PATH}{code}",
            timeout_s=_timeout_s(settings, code),
            real_clock=real_clock,
            log=get_logger(code).warning,
        )
        if channel := entry.connect(now.pay.channels.get(code), context):
            found[payment_type] = seen(tracing, code, channel)
    return found


def _timeout_s(settings: Callable[[], Settings], code: str) -> Callable[[], float]:
    return lambda: settings().pay.channels[code].timeout_s


def channels_missing(configured: dict[PaymentType, PaymentChannel]) -> list[str]:
    """The configured channels that can't be used; all of the table if none can."""
    usable = {kind for kind, channel in configured.items() if channel.available()}
    return [kind.code for kind in CHANNELS if kind not in usable and (kind in configured or not usable)]


def payment_use_cases(core: Core, numbers: OrderNumbers) -> tuple[PaymentService, Settlement, Checkout]:
    """What is done through the channels, for a core whose orders are wired."""
    store, orders, clock, channels = core.store, core.stored, core.clock, core.offered
    secret = core.settings.pay.gateway_secret
    attempts = Attempts(
        orders=orders,
        payments=store.payments,
        channels=channels,
        clock=clock,
        next_refund_sn=numbers.refund_sn,
        alert=core.alert,
    )
    payments = PaymentService(
        orders=orders,
        payments=store.payments,
        channels=channels,
        attempts=attempts,
        idempotency=core.idempotency,
        clock=clock,
        next_payment_sn=numbers.payment_sn,
        return_urls=core.return_urls,
        gateway_secret=GatewaySecret([secret.get_secret_value().encode()] if secret else []),
        alert=core.alert,
    )
    settlement = Settlement(
        orders=orders,
        payments=store.payments,
        channels=channels,
        attempts=attempts,
        on_unreadable=core.unreadable.tell,
        clock=clock,
        alert=core.alert,
    )
    checkout = Checkout(
        orders=core.orders,
        payments=payments,
        settlement=settlement,
        clock=clock,
        monotonic_s=time.monotonic,
        return_urls=core.return_urls,
        turn=core.shared.turns.take,
    )
    return payments, settlement, checkout
