"""Hosts and ports as text: the only place where they are joined and taken apart, so that IPv6 fits."""

from __future__ import annotations

import re
from ipaddress import ip_address

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to replace it


def joined(host: str, port: int | str) -> str:
    """host:port, with an IPv6 host in brackets."""
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """The host as it stands in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def reachable(host: str) -> str:
    """A host to connect to, for one to listen on: loopback for every address."""
    return _ANY.get(host.strip("[]"), host)


def parted(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Host (without brackets) and port of `host:port` or `[IPv6]:port`.

    Raises ValueError, with a text that does not repeat the address: it may hold a password.
    """
    host, port = _halves(text)
    if host.startswith("["):
        host = _ipv6(host)
    elif not _HOST.fullmatch(host):
        raise ValueError("must be host:port; an IPv6 host stands in brackets, [::1]:50061")
    if not port and default_port is not None and not text.endswith(":"):
        return host, default_port
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("must be host:port, with a port from 1 to 65535")
    return host, int(port)


def _halves(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, closed, rest = text.partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError("must be host:port; an IPv6 host stands in brackets, [::1]:50061")
        return host + closed, rest[1:]
    host, _, port = text.partition(":")
    if ":" in port:
        raise ValueError("an IPv6 host stands in brackets: [::1]:50061")
    return host, port


def _ipv6(bracketed_host: str) -> str:
    try:
        address = ip_address(bracketed_host[1:-1])
    except ValueError:
        address = None
    if address is None or address.version != 6:
        raise ValueError("has brackets around what is no IPv6 address")
    return bracketed_host[1:-1]
