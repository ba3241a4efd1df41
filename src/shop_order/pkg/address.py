"""Joins and splits host:port, including IPv6."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_FORM = "must be host:port; write an IPv6 host in brackets, [::1]:50061"
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced by loopback


def join_host_port(host: str, port: int | str) -> str:
    """Return host:port, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def reachable(host: str) -> str:
    """Return the host to connect to if a server listens on `host`: loopback for a wildcard."""
    return _LOOPBACK_OF.get(host.strip("[]"), host)


def is_host_port(text: str, default_port: int | None = None) -> bool:
    """Whether `split_host_port` accepts this text."""
    try:
        return bool(split_host_port(text, default_port))
    except ValueError:
        return False


def split_host_port(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host (without brackets) and port of `host:port` or `[IPv6]:port`.

    Raises ValueError; its text does not repeat the address, which may contain a password.
    """
    if text.startswith("["):
        host, closing, port = text[1:].partition("]")
        if not closing or (port and not port.startswith(":")):
            raise ValueError(_FORM)
        port = port[1:]
        try:
            IPv6Address(host)
        except ValueError:
            raise ValueError("has brackets around something that is not an IPv6 address") from None
    else:
        host, _, port = text.partition(":")
        if ":" in port:
            raise ValueError("write an IPv6 host in brackets: [::1]:50061")
        if not _HOST.fullmatch(host):
            raise ValueError(_FORM)
    if not port and default_port is not None and not text.endswith(":"):
        return host, default_port
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("must be host:port, with a port from 1 to 65535")
    return host, int(port)
