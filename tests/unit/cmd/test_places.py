"""The page at `/` tells developers of the other ports, and the public of none."""

from __future__ import annotations

from pathlib import Path

import pytest

from shop_order.cmd.wiring.from_settings import landing_links
from shop_order.configs import load
from shop_order.web.document.pages import Places

PRODUCTION = {
    "APP__ENV": "production",
    "AUTH__LINK_KEYS": "l" * 32,
    "AUTH__SERVICE_KEYS": "s" * 32,
    "AUTH__JWKS": "https://keys.shop/jwks.json",
    "AUDIT__ROOT_KEY_FILE": "/etc/shop/history_root.pem",
    "PAY__GATEWAY_SECRET": "g" * 32,
    "NEIGHBOURS__TOKEN_FILE": "/etc/shop/token",
    "SERVER__PUBLIC_URL": "https://shop.example",
}
GATEWAY = "PAY__ALIPAY__GATEWAY"
WECHAT = "PAY__WECHAT__GATEWAY"


def found(folder: Path, **settings: str) -> Places:
    """What a service with these settings shows."""
    env = {f"SHOP_ORDER_{name}": value for name, value in settings.items()}
    return landing_links(load({"SHOP_ORDER_DATA_DIR": str(folder)} | env).settings, 50051)


@pytest.mark.parametrize(
    ("settings", "grpc", "sandbox"),
    [
        ({}, "127.0.0.1:50051", "http://127.0.0.1:8090/"),
        ({"SERVER__HOST": "0.0.0.0"}, "127.0.0.1:50051", "http://127.0.0.1:8090/"),
        ({"SERVER__HOST": "::1"}, "[::1]:50051", "http://127.0.0.1:8090/"),
        ({GATEWAY: "http://[::1]:9/alipay/gateway.do"}, "127.0.0.1:50051", "http://[::1]:9/"),
        (
            {GATEWAY: "https://openapi.alipay.com/gateway.do", WECHAT: "https://api.mch.weixin.qq.com"},
            "127.0.0.1:50051",
            "",
        ),
    ],
)
def test_a_developer_finds_the_other_ports(
    tmp_path: Path, settings: dict[str, str], grpc: str, sandbox: str
) -> None:
    assert found(tmp_path, **settings) == Places(grpc, sandbox)


def test_production_shows_nothing_of_its_inside(tmp_path: Path) -> None:
    assert found(tmp_path, **PRODUCTION, **{GATEWAY: "https://pay.example/alipay/gateway.do"}) == Places()
