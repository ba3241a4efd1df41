"""Checks the files that settings name, before serving.

A problem is one text: the setting, the file and what is wrong, never the content of the file.
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
    """Return problems with all files except those of payment channels."""
    return [*_of_server(settings), *_of_auth(settings), *_of_history(settings), *_of_neighbours(settings)]


def channel_problems(settings: Settings) -> dict[str, list[str]]:
    """Return the problems of each payment channel, by its code; none if it is off."""
    found = {}
    for payment_type, entry in CHANNELS.items():
        code, section = payment_type.code, settings.pay.channels.get(payment_type.code)
        missing = section.missing if section and not section.is_off else ()
        why = f"is not set, but {code.capitalize()} requires it"
        texts = [f"{channel_key(code, name)}: {why}" for name in missing]
        found[code] = [*texts, *entry.problems(section)]
    return found


def why_unavailable(settings: Settings, code: str) -> str:
    """Return why a payment channel is unavailable, for the log."""
    section = settings.pay.channels.get(code)
    if section and section.is_off:
        return f"off: {channel_key(code, section.required[0])} and its other required settings are not set"
    return "; ".join(channel_problems(settings)[code])


def _of_server(settings: Settings) -> Texts[None]:
    server = settings.server
    named = {"CERT": server.tls_cert, "KEY": server.tls_key, "CLIENT_CA": server.tls_client_ca}
    readable = True
    for key, path in named.items():
        if path and (yield from _used(f"SERVER__TLS_{key}", path, _read)) is None:
            readable = False
    if not (readable and server.tls_cert and server.tls_key):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without this, a key with a password would prompt on the terminal.
        context.load_cert_chain(server.tls_cert, server.tls_key, password=lambda: "")
    except (OSError, ValueError):
        yield (
            f"SERVER__TLS_CERT, SERVER__TLS_KEY: {server.tls_cert}, {server.tls_key}: are not a PEM"
            " certificate and its private key without a password"
        )
    if server.tls_client_ca:
        try:
            context.load_verify_locations(server.tls_client_ca)
        except (OSError, ValueError):
            yield f"SERVER__TLS_CLIENT_CA: {server.tls_client_ca}: contains no PEM certificate"


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
