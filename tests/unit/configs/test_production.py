"""What production demands of the settings, and settings of what is not built yet."""

from pathlib import Path

import pytest

from shop_order.configs import ConfigError, load, mask, show
from shop_order.configs.dev_keys import dev_keys
from shop_order.configs.tree import PLANNED, dump, key_of, nest
from tests.unit.configs.test_load import env_of, loaded


def production(tmp_path: Path, **settings: str) -> dict[str, str]:
    strong = {
        "APP__ENV": "production",
        "AUTH__LINK_KEYS": "l" * 32,
        "SERVER__PUBLIC_URL": "https://a.shop",
        "AUTH__JWKS": "https://keys.shop/jwks.json",
        "AUDIT__ROOT_KEY_FILE": "/etc/shop/history_root.pem",
        "PAY__GATEWAY_SECRET": "g" * 32,
        "NEIGHBOURS__TOKEN_FILE": "/etc/shop/token",
    }
    return env_of(tmp_path, **(strong | settings))


def test_production_starts_with_keys_of_its_own_and_makes_none(tmp_path: Path) -> None:
    settings = load(production(tmp_path)).settings
    assert settings.auth.hs256_key is None
    assert settings.pay.alipay.app_id is None
    assert not settings.server.reflection
    assert not (tmp_path / "dev").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"AUTH__LINK_KEYS": ""}, "needs AUTH__LINK_KEYS"),
        ({"AUTH__JWKS": ""}, "needs AUTH__JWKS"),
        ({"PAY__GATEWAY_SECRET": ""}, "needs PAY__GATEWAY_SECRET"),
        ({"AUDIT__ROOT_KEY_FILE": ""}, "needs AUDIT__ROOT_KEY_FILE"),
        ({"AUDIT__ROOT_KEY_FILE": "{DATA_DIR}/dev/history_root.pem"}, "AUDIT__ROOT_KEY_FILE"),
        ({"AUTH__HS256_KEY": "h" * 64}, "AUTH__HS256_KEY"),
        (
            {"PAY__ALIPAY__PUBLIC_KEY_FILE": "{DATA_DIR}/dev/alipay_public.pem"},
            "PAY__ALIPAY__PUBLIC_KEY_FILE",
        ),
        ({"PAY__ALIPAY__GATEWAY": "http://127.0.0.1:8090/alipay"}, "PAY__ALIPAY__GATEWAY"),
        ({"PAY__WECHAT__OPENID_URL": "http://a.shop/openid"}, "PAY__WECHAT__OPENID_URL"),
    ],
)
def test_production_refuses_development_keys(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(production(tmp_path, **settings))


def test_production_refuses_a_key_copied_from_development(tmp_path: Path) -> None:
    keys = dev_keys(str(tmp_path))
    for name, value in (
        ("PAY__GATEWAY_SECRET", keys["pay", "gateway_secret"][1]),
        ("AUTH__LINK_KEYS", "x" * 32 + "," + keys["auth", "link_keys"][1]),
        ("AUTH__WALLET_KEYS", "x" * 32 + "," + keys["auth", "wallet_keys"][1]),
    ):
        with pytest.raises(ConfigError, match=f"{name}.*development key"):
            load(production(tmp_path, **{name: value}))


def test_production_needs_keys_for_a_wallet_that_answers_over_a_broker(tmp_path: Path) -> None:
    broker = {"MESSAGE__URL": "rocketmq://proxy:8081"}
    with pytest.raises(ConfigError, match=r"AUTH__WALLET_KEYS: is not set.*AUTH__WALLET_SERVICES") as refused:
        load(production(tmp_path, **broker))
    assert "\n" not in str(refused.value)
    load(production(tmp_path))  # over gRPC its token proves who it is
    load(production(tmp_path, **broker, AUTH__WALLET_SERVICES=""))
    found = load(production(tmp_path, **broker, AUTH__WALLET_KEYS="n" * 32 + "," + "o" * 32)).settings
    assert len(found.auth.wallet_keys) == 2


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "needs SERVER__PUBLIC_URL"),
        ("ftp://a.shop", "SERVER__PUBLIC_URL.*http"),
        ("a.shop", "SERVER__PUBLIC_URL.*http"),
        ("https://", "SERVER__PUBLIC_URL.*http"),
        ("https://u:pw@a.shop", "SERVER__PUBLIC_URL.*path can be added"),
        ("https://a.shop/?x=1", "SERVER__PUBLIC_URL.*path can be added"),
        ("https://a.shop/#x", "SERVER__PUBLIC_URL.*path can be added"),
        ("https://a.shop:pw/", "SERVER__PUBLIC_URL.*http"),
    ],
)
def test_production_needs_an_address_for_its_links(tmp_path: Path, url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        load(production(tmp_path, SERVER__PUBLIC_URL=url))
    assert "pw" not in str(refused.value)


def test_a_setting_of_what_is_not_built_yet_is_told_and_not_kept(tmp_path: Path) -> None:
    given = {key_of(path): "geheim" for path in PLANNED}
    assert given
    it = loaded(tmp_path, **given)
    assert set(it.unused) == set(given)
    assert not PLANNED & set(it.origins)
    assert "geheim" not in show(it) + mask("it", dump(nest(dict.fromkeys(PLANNED, "geheim"))))
    with pytest.raises(ConfigError, match="unknown setting AUTH__SERVICE_KEY "):
        loaded(tmp_path, AUTH__SERVICE_KEY="x")
