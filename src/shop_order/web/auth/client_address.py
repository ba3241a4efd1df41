"""Who is at the other end: the address, which trusted proxies may tell, and whether it is a phone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

Network = IPv4Network | IPv6Network
MAX_HOPS = 16
_SUBSCRIBER_PREFIX = 64  # of IPv6: a subscriber has all addresses of it
# `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`, each with a zone (`fe80::1%eth0`) or without.
_HOP = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)(?:%[\w.~-]+)?\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?"
    r"|(?P<bare>[0-9A-Fa-f:.]+)(?:%[\w.~-]+)?",
    re.ASCII,
)
_MAX_HOP = 100
_MAX_AGENT = 1024  # characters of a User-Agent; the device stands at its beginning
_PHONE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|Opera Mini|\(Phone;", re.IGNORECASE)
_LARGE = re.compile(r"iPad|Tablet|PlayBook|Kindle|Silk/", re.IGNORECASE)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and networks (cached). Raises ValueError."""
    return _networks(tuple(texts))


@lru_cache(maxsize=16)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(_unmapped(ip_network(text, strict=False)) for text in texts)


def contains(nets: Iterable[Network], address: str) -> bool:
    """Whether one of the networks contains the address; False for a text that is no address."""
    found = _parsed(address)
    return found is not None and any(found in net for net in nets)


def is_loopback(address: str) -> bool:
    """Whether the address is this machine."""
    found = _parsed(address)
    return found is not None and found.is_loopback


def client_address(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The caller's address in an ASGI scope; empty when it can't be known."""
    return behind_proxies(_peer(scope), _forwarded(scope), trusted)


def counted_address(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The address that limits count in an ASGI scope: the caller's, or the peer's if that is unknown."""
    return counted(_peer(scope), _forwarded(scope), trusted)


def behind_proxies(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The caller's address by the peer and every X-Forwarded-For; empty when it can't be known.

    The header counts only from a trusted proxy and is read from right to left, since its left part is the
    caller's own text. A forwarded request from an untrusted peer has no known address, so that an unknown
    proxy on this machine does not turn every caller into loopback. Limits use `counted`.
    """
    hops = [hop for value in forwarded for hop in map(str.strip, value.split(",")) if hop]
    if not hops:
        return peer
    if not contains(trusted, peer):
        return ""
    found = None
    for hop in reversed(hops[-MAX_HOPS:]):
        found = _hop(hop)
        if found is None or not any(found in net for net in trusted):
            break
    return str(found) if found else ""


def counted(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The address that limits count, IPv6 by its /64. Never empty: nobody escapes a limit."""
    found = _parsed(behind_proxies(peer, forwarded, trusted)) or _parsed(peer)
    if found is None:
        return peer or "unknown"
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _SUBSCRIBER_PREFIX), strict=False))
    return str(found)


def peer_address(peer: str) -> str:
    """The address in grpc's `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`; empty for anything else."""
    family, _, rest = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    return rest.rpartition(":")[0].strip("[]")


def _peer(scope: Mapping[str, Any]) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _forwarded(scope: Mapping[str, Any]) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]


def _hop(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip('"').strip()
    found = _HOP.fullmatch(text) if len(text) <= _MAX_HOP else None
    return _parsed(found["bracketed"] or found["v4"] or found["bare"]) if found else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _unmapped(net: Network) -> Network:
    # Mapped addresses are compared as IPv4, and so are mapped networks.
    if isinstance(net, IPv6Network) and net.prefixlen >= 96 and (mapped := net.network_address.ipv4_mapped):
        return IPv4Network((mapped, net.prefixlen - 96))
    return net


def is_phone(headers: Mapping[str, str]) -> bool:
    """Whether a browser is a phone's, by its hint or its name; a tablet is none."""
    if headers.get("sec-ch-ua-mobile") == "?1":
        return True  # ?0 says less: browsers send it beside a name that was set by hand, too
    agent = headers.get("user-agent", "")[:_MAX_AGENT]
    return bool(_PHONE.search(agent)) and not _LARGE.search(agent)
