"""Who is at the other end: the peer, or what proxies we trust say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Network = IPv4Network | IPv6Network
MOST_HOPS = 16


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and networks; a list that was parsed before costs nothing. Raises ValueError."""
    return _networks(tuple(texts))


@lru_cache(maxsize=16)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)


def contains(nets: Iterable[Network], address: str) -> bool:
    """Whether one of the networks has the address; a text that is none is in no network."""
    found = _parsed(address)
    return found is not None and any(found in net for net in nets)


def is_loopback(address: str) -> bool:
    """Whether the address is this machine."""
    found = _parsed(address)
    return found is not None and found.is_loopback


def client_address(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The caller's address in an ASGI scope; empty when it can't be known."""
    peer: str = scope["client"][0] if scope.get("client") else ""
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return behind_proxies(peer, forwarded, trusted)


def behind_proxies(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The caller's address by the peer and every X-Forwarded-For; empty when it can't be known.

    The header counts only from a trusted proxy and is read from right to left, since its left part is the
    caller's own text. A forwarded request from an untrusted peer has no known address.
    """
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    if not hops:
        return peer
    if not contains(trusted, peer):
        return ""
    hops = hops[-MOST_HOPS:]
    for hop in reversed(hops):
        if not contains(trusted, hop):
            return hop if _parsed(hop) else ""
    return hops[0]


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
