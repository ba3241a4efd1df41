"""The configured payment channels and bill sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shop_order.cmd.wiring.observing import seen
from shop_order.configs import Settings
from shop_order.domain.bill import BillSource
from shop_order.domain.ports import Clock, PaymentChannel
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings
from shop_order.gateway.payment.alipay_bill import AlipayBills
from shop_order.pkg.log import get_logger

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

NOTIFY_PATH = "/api/v1/payments/notify/alipay"


class Channels:
    """`payments` to pay through, `bills` to compare with; `alipay` is the connection behind both, if any."""

    def __init__(
        self, settings: Settings, timeout_s: Callable[[], float], real_clock: Clock, tracing: Tracing | None
    ) -> None:
        self.alipay = alipay(settings, timeout_s, real_clock)
        self.payments: dict[PaymentType, PaymentChannel] = {}
        self.bills: dict[PaymentType, BillSource] = {}
        if self.alipay is not None:
            self.payments[PaymentType.ALIPAY] = seen(tracing, "alipay", self.alipay)
            self.bills[PaymentType.ALIPAY] = AlipayBills(self.alipay)


def alipay(settings: Settings, timeout_s: Callable[[], float], real_clock: Clock) -> Alipay | None:
    """The channel, if it is configured."""
    ours = settings.pay.alipay
    if not (ours.app_id and ours.seller_id and ours.app_private_key_file and ours.public_key_file):
        return None
    return Alipay(
        AlipaySettings(
            gateway=ours.gateway,
            app_id=ours.app_id,
            seller_id=ours.seller_id,
            app_private_key=Path(ours.app_private_key_file),
            public_key=Path(ours.public_key_file),
            notify_url=ours.notify_url or settings.server.base_url + NOTIFY_PATH,
            timeout_s=timeout_s,
        ),
        real_clock,
        get_logger("alipay").warning,
    )
