"""Which browsers are sent to the provider's page for phones."""

from __future__ import annotations

import pytest

from shop_order.web.auth.client_address import is_phone

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {WEBKIT}"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {WEBKIT}"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"


@pytest.mark.parametrize(
    ("agent", "phone"),
    [
        (f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1", True),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {CHROME} Mobile Safari/537.36", True),
        ("Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0", True),
        (f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {CHROME} Safari/537.36 ArkWeb/4.1.6.1 Mobile", True),
        (f"{IPHONE} Mobile/15E148 MicroMessenger/8.0.50", True),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1/191; U; en) Presto/2.12", True),
        (f"{IPAD} Version/12.1 Mobile/15E148 Safari/604.1", False),
        (f"Mozilla/5.0 (Linux; Android 14; SM-X910) {CHROME} Safari/537.36", False),
        ("Mozilla/5.0 (Android 14; Tablet; rv:132.0) Gecko/132.0 Firefox/132.0", False),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", False),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.0 Safari/605.1.15", False),
        ("curl/8.5.0", False),
        ("", False),
        ("x" * 1024 + "iPhone", False),
    ],
)  # fmt: skip
def test_the_name_of_the_browser_tells_a_phone(agent: str, phone: bool) -> None:
    assert is_phone({"user-agent": agent}) is phone


def test_a_hint_or_the_name_is_enough() -> None:
    assert is_phone({"sec-ch-ua-mobile": "?1", "user-agent": "Windows"})
    assert is_phone({"sec-ch-ua-mobile": "?0", "user-agent": "iPhone"})
    assert not is_phone({"sec-ch-ua-mobile": "?0", "user-agent": "Windows"})
