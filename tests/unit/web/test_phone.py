"""Which device a browser runs on, by its own word."""

from __future__ import annotations

import pytest

from shop_order.domain.ports import Device
from shop_order.web.auth.client_address import device_of

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {WEBKIT}"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {WEBKIT}"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1", Device.PHONE),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {CHROME} Mobile Safari/537.36", Device.PHONE),
        ("Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0", Device.PHONE),
        (f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {CHROME} Safari/537.36 ArkWeb/4.1.6.1 Mobile", Device.PHONE),
        (f"{IPHONE} Mobile/15E148 MicroMessenger/8.0.50", Device.WECHAT),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1/191; U; en) Presto/2.12", Device.PHONE),
        (f"{IPAD} Version/12.1 Mobile/15E148 Safari/604.1", Device.DESKTOP),
        (f"Mozilla/5.0 (Linux; Android 14; SM-X910) {CHROME} Safari/537.36", Device.DESKTOP),
        ("Mozilla/5.0 (Android 14; Tablet; rv:132.0) Gecko/132.0 Firefox/132.0", Device.DESKTOP),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", Device.DESKTOP),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} MicroMessenger/7.0.20", Device.WECHAT_DESKTOP),
        (f"{IPAD} Mobile/15E148 MicroMessenger/8.0.50", Device.WECHAT_DESKTOP),
        (f"Mozilla/5.0 (Linux; Android 13; SM-X700) {CHROME} MicroMessenger/8.0", Device.WECHAT_DESKTOP),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15", Device.DESKTOP),
        ("curl/8.5.0", Device.DESKTOP),
        ("", Device.DESKTOP),
        ("x" * 1024 + "iPhone", Device.DESKTOP),
    ],
)  # fmt: skip
def test_the_name_of_the_browser_tells_the_device(agent: str, device: Device) -> None:
    assert device_of({"user-agent": agent}) is device


def test_a_hint_or_the_name_is_enough() -> None:
    assert device_of({"sec-ch-ua-mobile": "?1", "user-agent": "Windows"}) is Device.PHONE
    assert device_of({"sec-ch-ua-mobile": "?0", "user-agent": "iPhone"}) is Device.PHONE
    assert device_of({"sec-ch-ua-mobile": "?0", "user-agent": "Windows"}) is Device.DESKTOP
