"""What production requires of the settings, at a start and in `shop-order config check`."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from shop_order.configs.dev_keys import SECRETS
from shop_order.configs.settings import ConfigError, Settings, channel_key


def missing_in_production(settings: Settings) -> list[str]:
    """Return the required settings that are not set."""
    auth, pay = settings.auth, settings.pay
    required = {
        "SERVER__PUBLIC_URL": settings.server.public_url,  # else buyers get links to loopback
        "AUTH__LINK_KEYS": auth.link_keys,
        "AUTH__JWKS": auth.jwks,
        "AUDIT__ROOT_KEY_FILE": settings.audit.root_key_file,
        "PAY__GATEWAY_SECRET": pay.gateway_secret,
        "NEIGHBOURS__TOKEN_FILE": settings.neighbours.token_file,
    }
    return [key for key, value in required.items() if not value]


def wrong_in_production(settings: Settings) -> list[str]:
    """Return a text for each refused setting. Raises ConfigError if the development keys can't be read."""
    wrong, pay = [], settings.pay
    if settings.auth.hs256_key is not None:
        wrong.append("AUTH__HS256_KEY: is for dev and test; production verifies by AUTH__JWKS")
    has_broker = settings.message.url.startswith("rocketmq:")
    if has_broker and settings.auth.wallet_services and not settings.auth.wallet_keys:
        wrong.append(
            "AUTH__WALLET_KEYS: is not set, so the wallet's answers over MESSAGE__URL can't be verified;"
            " if there is no wallet, set AUTH__WALLET_SERVICES to nothing"
        )
    for name in _development_keys(settings):
        wrong.append(f"{name}: is a development key, which production refuses")
    wrong += [
        f"{channel_key(name, 'gateway')}: production requires https"
        for name, channel in pay.http_channels.items()
        if urlsplit(channel.gateway).scheme != "https"
    ]
    # It gets the order's link, and returns who pays.
    if (page := pay.wechat.openid_url) and urlsplit(page).scheme != "https":
        wrong.append("PAY__WECHAT__OPENID_URL: production requires https")
    return wrong


def _development_keys(settings: Settings) -> list[str]:
    dev_dir = Path(os.path.realpath(Path(settings.data_dir, "dev")))
    own = _keys_in(dev_dir)
    auth, pay = settings.auth, settings.pay
    secrets = [
        ("PAY__GATEWAY_SECRET", pay.gateway_secret),
        *(("AUTH__LINK_KEYS", key) for key in auth.link_keys),
        *(("AUTH__WALLET_KEYS", key) for key in auth.wallet_keys),
    ]
    found = [name for name, secret in secrets if secret is not None and secret.get_secret_value() in own]
    files = {
        "AUTH__JWKS": auth.jwks,
        "AUDIT__ROOT_KEY_FILE": settings.audit.root_key_file,
        "NEIGHBOURS__TOKEN_FILE": settings.neighbours.token_file,
    }
    for name, channel in pay.channels.items():
        files |= {channel_key(name, key): value for key, value in channel if key.endswith("_file")}
    found += [
        name for name, path in files.items() if path and dev_dir in Path(os.path.realpath(path)).parents
    ]
    return list(dict.fromkeys(found))


def _keys_in(folder: Path) -> set[str]:
    try:
        return {file.read_text("utf-8").strip() for name in SECRETS if (file := folder / name).exists()}
    except OSError as error:
        raise ConfigError(f"can't read the development keys in {folder}: {error.strerror}") from error
