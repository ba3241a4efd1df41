"""The caller's address, as reported by trusted proxies, and the caller's device."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

from shop_order.domain.ports import Device

Network = IPv4Network | IPv6Network
MAX_HOPS = 16
_SUBSCRIBER_PREFIX = 64  # IPv6: a subscriber has a whole /64
# `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`, each with or without a zone (`fe80::1%eth0`).
_HOP = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)(?:%[\w.~-]+)?\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?"
    r"|(?P<bare>[0-9A-Fa-f:.]+)(?:%[\w.~-]+)?",
    re.ASCII,
)
_MAX_HOP = 100
_MAX_AGENT = 1024  # characters of a User-Agent; the device is near the beginning
_PHONE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|Opera Mini|\(Phone;", re.IGNORECASE)
_LARGE = re.compile(r"iPad|Tablet|PlayBook|Kindle|Silk/", re.IGNORECASE)


@lru_cache(maxsize=16)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Parse addresses and networks. Raises ValueError."""
    return tuple(_unmapped(ip_network(text, strict=False)) for text in texts)


def contains(nets: Iterable[Network], address: str) -> bool:
    """Whether one of the networks contains the address; False for text that is not an address."""
    found = _parsed(address)
    return found is not None and any(found in net for net in nets)


def is_loopback(address: str) -> bool:
    """Whether the address is this machine."""
    found = _parsed(address)
    return found is not None and found.is_loopback


def client_address(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The caller's address in an ASGI scope; empty if unknown."""
    return resolve_address(_peer(scope), _forwarded(scope), trusted)


def limit_key_of(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The key for rate limits in an ASGI scope: the caller's address, or the peer's if that is unknown."""
    return limit_key(_peer(scope), _forwarded(scope), trusted)


def resolve_address(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The caller's address, from the peer and all X-Forwarded-For values; empty if unknown.

    The header is used only if it comes from a trusted proxy. It is read from right to left, because callers
    can write its left part. The address of a forwarded request from an untrusted peer is unknown; otherwise
    an unlisted proxy on this machine would make every caller look like loopback.
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


def limit_key(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The key for rate limits: the address, or the /64 of an IPv6 address. Never empty."""
    found = _parsed(resolve_address(peer, forwarded, trusted)) or _parsed(peer)
    if found is None:
        return peer or "unknown"
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _SUBSCRIBER_PREFIX), strict=False))
    return str(found)


def peer_address(peer: str) -> str:
    """The address in a gRPC peer such as `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`; otherwise empty."""
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
    # IPv4-mapped addresses and networks are compared as IPv4.
    if isinstance(net, IPv6Network) and net.prefixlen >= 96 and (mapped := net.network_address.ipv4_mapped):
        return IPv4Network((mapped, net.prefixlen - 96))
    return net


def device_of(headers: Mapping[str, str]) -> Device:
    """The device by its client hint or User-Agent; tablets count as desktops."""
    agent = headers.get("user-agent", "")[:_MAX_AGENT]
    # A hint of ?0 proves nothing: it is sent with an overridden User-Agent, too.
    is_phone = headers.get("sec-ch-ua-mobile") == "?1" or (
        _PHONE.search(agent) is not None and not _LARGE.search(agent)
    )
    if "MicroMessenger/" in agent:
        return Device.WECHAT if is_phone else Device.WECHAT_DESKTOP
    return Device.PHONE if is_phone else Device.DESKTOP
