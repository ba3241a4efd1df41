"""Checks the files that settings name, before anything is served with them.

Each problem is one text: the setting, the file, what is wrong; never the content of the file.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from shop_order.configs import Settings
from shop_order.configs.settings import channel_key
from shop_order.gateway.payment import CHANNELS
from shop_order.pkg.key_files import BadKeyFile, read
from shop_order.pkg.url import file_of

T = TypeVar("T")
Texts = Generator[str, None, T]
MAX_BYTES = 1 << 20


def file_problems(settings: Settings) -> list[str]:
    """Problems with the files of every part except the payment channels."""
    return [*_of_server(settings), *_of_auth(settings), *_of_history(settings), *_of_neighbours(settings)]


def channel_problems(settings: Settings) -> dict[str, list[str]]:
    """What is wrong with each payment channel, by its code; nothing with one that is off."""
    found = {}
    for payment_type, entry in CHANNELS.items():
        code, section = payment_type.code, settings.pay.channels.get(payment_type.code)
        lacks = section.missing if section and not section.is_off else ()
        why = f"is not set, and {code.capitalize()} can't be used without it"
        texts = [f"{channel_key(code, name)}: {why}" for name in lacks]
        found[code] = [*texts, *entry.problems(section)]
    return found


def why_unavailable(settings: Settings, code: str) -> str:
    """Why a payment channel can't be used, for the log."""
    section = settings.pay.channels.get(code)
    if section and section.is_off:
        return f"it is off: {channel_key(code, section.required[0])} and the settings beside it are not set"
    return "; ".join(channel_problems(settings)[code])


def _of_server(settings: Settings) -> Texts[None]:
    server = settings.server
    named = {"CERT": server.tls_cert, "KEY": server.tls_key, "CLIENT_CA": server.tls_client_ca}
    whole = True
    for key, path in named.items():
        if path and (yield from _used(f"SERVER__TLS_{key}", path, _read)) is None:
            whole = False
    if not (whole and server.tls_cert and server.tls_key):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without this, a key with a password would prompt on the terminal.
        context.load_cert_chain(server.tls_cert, server.tls_key, password=lambda: "")
    except (OSError, ValueError):
        yield (
            f"SERVER__TLS_CERT, SERVER__TLS_KEY: {server.tls_cert}, {server.tls_key}: are no certificate"
            " in PEM with its own key, without a password"
        )
    if server.tls_client_ca:
        try:
            context.load_verify_locations(server.tls_client_ca)
        except (OSError, ValueError):
            yield f"SERVER__TLS_CLIENT_CA: {server.tls_client_ca}: holds no certificate in PEM"


def _of_auth(settings: Settings) -> Texts[None]:
    path = file_of(settings.auth.jwks or "")
    if not path:
        return
    from shop_order.web.auth.keys import parse_key_set

    yield from _parsed("AUTH__JWKS", path, parse_key_set)


def _of_history(settings: Settings) -> Texts[None]:
    from shop_order.pkg.ed25519 import Ed25519Keys

    if settings.audit.root_key_file:
        yield from _parsed("AUDIT__ROOT_KEY_FILE", settings.audit.root_key_file, Ed25519Keys)


def _of_neighbours(settings: Settings) -> Texts[None]:
    if settings.neighbours.token_file:
        yield from _used("NEIGHBOURS__TOKEN_FILE", settings.neighbours.token_file, _read)


def _parsed(key: str, path: str, parse: Callable[[bytes], object]) -> Texts[None]:
    content = yield from _used(key, path, _read)
    try:
        if content is not None:
            parse(content)
    except ValueError as wrong:
        yield f"{key}: {path}: {wrong}"


def _read(path: Path) -> bytes:
    return read(path, MAX_BYTES)


def _used(key: str, path: str, use: Callable[[Path], T]) -> Texts[T | None]:
    try:
        return use(Path(path))
    except BadKeyFile as wrong:
        yield f"{key}: {path}: {wrong}"
    return None
