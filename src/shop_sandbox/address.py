"""Host and port as text, with IPv6 in brackets. (The product's own functions for this are not public.)"""

from __future__ import annotations

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced here


def host_port(host: str, port: int) -> str:
    """host:port, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connectable(host: str) -> str:
    """The host to connect to for a host to listen on: loopback for a wildcard."""
    return _WILDCARDS.get(host, host)
