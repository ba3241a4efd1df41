"""Notices with wrong signatures raise an alert by their rate, not one by one."""

from __future__ import annotations

import pytest

from shop_order.domain.errors import SignatureInvalid
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.alerts import FORGED_WINDOW_MS, MANY_FORGED, ForgedNoticeAlerts
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)


async def opened(world: World) -> str:
    """The number of an open attempt."""
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    paying = await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))
    return paying.result.payment.payment_sn


class Forgeries:
    """The alerts, with a clock."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.told: list[object] = []
        self.alerts = ForgedNoticeAlerts(self._alert, lambda: self.now_ms)

    def _alert(self, name: str, **about: object) -> None:
        assert name == "notices_forged"
        self.told.append(about["channel"])

    def send(self, notices: int, channel: str = "wechat") -> None:
        for _ in range(notices):
            self.alerts.report(channel)


def test_a_few_alert_nobody_however_long_they_come() -> None:
    forged = Forgeries()
    for _ in range(100):
        forged.send(MANY_FORGED - 1)
        forged.now_ms += FORGED_WINDOW_MS
    assert forged.told == []


def test_many_alert_once_per_window_and_channel() -> None:
    assert (MANY_FORGED, FORGED_WINDOW_MS) == (50, 600_000)
    forged = Forgeries()
    forged.send(MANY_FORGED - 1)
    forged.send(1, "alipay")
    assert forged.told == []
    forged.send(1000)
    assert forged.told == ["wechat"]
    forged.send(MANY_FORGED, "alipay")
    assert forged.told == ["wechat", "alipay"]
    forged.now_ms += FORGED_WINDOW_MS
    forged.send(MANY_FORGED)
    assert forged.told == ["wechat", "alipay", "wechat"]


async def test_each_refused_notice_counts(world: World) -> None:
    body = world.provider.notice(await opened(world), seal="forged")
    for _ in range(MANY_FORGED):
        assert world.alerts == []
        with pytest.raises(SignatureInvalid):
            await world.payments.provider_notice(PaymentType.ALIPAY, body, {})
    assert [name for name, _ in world.alerts] == ["notices_forged"]
