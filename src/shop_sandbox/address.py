"""Hosts and ports as text, so that IPv6 fits. (The product's own is no public face of it.)"""

from __future__ import annotations

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to replace it


def joined(host: str, port: int) -> str:
    """host:port, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """A host to connect to, for one to listen on."""
    return _ANY.get(host, host)
