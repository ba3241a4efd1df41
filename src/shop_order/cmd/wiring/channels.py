"""The payment channels of the table, with their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shop_order.cmd.wiring.tracing import traced
from shop_order.configs import Settings
from shop_order.domain.ports import Clock, PaymentChannel
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment import CHANNELS
from shop_order.gateway.payment.base import ChannelContext
from shop_order.pkg.log import get_logger
from shop_order.web.handler.notice import NOTICE_PATH

if TYPE_CHECKING:
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
            found[payment_type] = traced(tracing, code, channel)
    return found


def _timeout_s(settings: Callable[[], Settings], code: str) -> Callable[[], float]:
    return lambda: settings().pay.channels[code].timeout_s


def channels_missing(configured: dict[PaymentType, PaymentChannel]) -> list[str]:
    """The configured channels that can't be used; all of the table if none can."""
    usable = {kind for kind, channel in configured.items() if channel.available()}
    return [kind.code for kind in CHANNELS if kind not in usable and (kind in configured or not usable)]
