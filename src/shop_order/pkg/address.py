"""Host and port as text, IPv6 included: the only place that joins and splits them."""

from __future__ import annotations

import re
from ipaddress import ip_address

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced by loopback


def join_host_port(host: str, port: int | str) -> str:
    """Return host:port, with an IPv6 host in brackets."""
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """Return the host in the form used in URLs."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def reachable(host: str) -> str:
    """Return an address to connect to for one to listen on: loopback for the wildcard address."""
    return _LOOPBACK_OF.get(host.strip("[]"), host)


def split_host_port(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host (without brackets) and port of `host:port` or `[IPv6]:port`.

    Raises ValueError; its text does not repeat the address, which may contain a password.
    """
    host, port = _split(text)
    if host.startswith("["):
        host = _ipv6(host)
    elif not _HOST.fullmatch(host):
        raise ValueError("must be host:port; write an IPv6 host in brackets, [::1]:50061")
    if not port and default_port is not None and not text.endswith(":"):
        return host, default_port
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("must be host:port, with a port from 1 to 65535")
    return host, int(port)


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, closed, rest = text.partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError("must be host:port; write an IPv6 host in brackets, [::1]:50061")
        return host + closed, rest[1:]
    host, _, port = text.partition(":")
    if ":" in port:
        raise ValueError("write an IPv6 host in brackets: [::1]:50061")
    return host, port


def _ipv6(bracketed_host: str) -> str:
    try:
        address = ip_address(bracketed_host[1:-1])
    except ValueError:
        address = None
    if address is None or address.version != 6:
        raise ValueError("has brackets around something that is not an IPv6 address")
    return bracketed_host[1:-1]
