"""Checks the files that settings name, before serving.

A problem is one text: the setting, the file and what is wrong, never the content of the file.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from shop_order.configs import Settings
from shop_order.configs.settings import HttpChannel, channel_key
from shop_order.gateway.payment import CHANNELS
from shop_order.pkg.key_files import read
from shop_order.pkg.url import file_of

MAX_BYTES = 1 << 20


def file_problems(settings: Settings) -> list[str]:
    """Return problems with all files except those of payment channels."""
    return [
        *_tls_problems(settings),
        *_problems("AUTH__JWKS", file_of(settings.auth.jwks or ""), _parse_jwks),
        *_problems("AUDIT__ROOT_KEY_FILE", settings.audit.root_key_file, _parse_root_keys),
        *_problems("NEIGHBOURS__TOKEN_FILE", settings.neighbours.token_file),
    ]


def channel_problems(settings: Settings) -> dict[str, list[str]]:
    """Return the problems of each payment channel, by its code; none if it is off."""
    found = {}
    for payment_type, entry in CHANNELS.items():
        code, section = payment_type.code, settings.pay.channels.get(payment_type.code)
        missing = section.missing if section and not section.is_off else ()
        why = "is not set, but the channel requires it"
        texts = [f"{channel_key(code, name)}: {why}" for name in missing]
        found[code] = [*texts, *entry.problems(section)]
        if entry.secure_notices and isinstance(section, HttpChannel) and not section.is_off:
            found[code] += _notify_problems(settings, code, section)
    return found


def _notify_problems(settings: Settings, code: str, channel: HttpChannel) -> Iterator[str]:
    if urlsplit(channel.gateway).scheme != "https":
        return  # a simulator, which calls us over HTTP
    key = channel_key(code, "notify_url") if channel.notify_url else "SERVER__PUBLIC_URL"
    url = channel.notify_url or settings.server.base_url
    if urlsplit(url).scheme != "https":
        yield f"{key}: {url}: the provider sends notices to https:// only"
    if "?" in url or "#" in url:
        yield f"{key}: {url}: must have no query, since the provider sends notices to none that has"


def is_off(settings: Settings, code: str) -> bool:
    """Return whether a payment channel is not configured; the balance, without a section, needs a wallet."""
    section = settings.pay.channels.get(code)
    return section.is_off if section else not settings.auth.wallet_services


def why_unavailable(settings: Settings, code: str) -> str:
    """Return why a payment channel is unavailable, for the log."""
    section = settings.pay.channels.get(code)
    if section and section.is_off:
        return f"off: {channel_key(code, section.required[0])} and its other required settings are not set"
    return "; ".join(channel_problems(settings)[code])


def _tls_problems(settings: Settings) -> Iterator[str]:
    server = settings.server
    cert, key, client_ca = server.tls_cert, server.tls_key, server.tls_client_ca
    named = {"CERT": cert, "KEY": key, "CLIENT_CA": client_ca}
    unreadable = [text for name, path in named.items() for text in _problems(f"SERVER__TLS_{name}", path)]
    yield from unreadable
    if unreadable or not (cert and key):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without this, a key with a password would prompt on the terminal.
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError):
        yield (
            f"SERVER__TLS_CERT, SERVER__TLS_KEY: {cert}, {key}: are not a PEM certificate and its private key"
            " without a password"
        )
    try:
        if client_ca:
            context.load_verify_locations(client_ca)
    except (OSError, ValueError):
        yield f"SERVER__TLS_CLIENT_CA: {client_ca}: contains no PEM certificate"


def _parse_jwks(content: bytes) -> None:
    from shop_order.web.auth.keys import parse_key_set  # slow to import

    parse_key_set(content)


def _parse_root_keys(content: bytes) -> None:
    from shop_order.pkg.ed25519 import Ed25519Keys

    Ed25519Keys(content)


def _problems(key: str, path: str | None, parse: Callable[[bytes], object] = bytes) -> Iterator[str]:
    """Yield what is wrong with a file; nothing without a path."""
    try:
        if path:
            parse(read(Path(path), MAX_BYTES))
    except ValueError as wrong:
        yield f"{key}: {path}: {wrong}"
