"""Redis URLs, and the connection of a process; opening it imports the driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote, urlsplit

from shop_order.pkg.address import split_host_port
from shop_order.pkg.redis.connection import RedisConnection
from shop_order.pkg.url import EngineTls, parse_tls

_KINDS = {"": "single", "+sentinel": "sentinel", "+cluster": "cluster"}
SCHEMES = {f"redis{s}{rest}": kind for rest, kind in _KINDS.items() for s in ("", "s")}
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Hosts and login; `kind` is single, sentinel or cluster, `master` the name known to sentinels."""

    kind: str
    hosts: tuple[tuple[str, int], ...]
    db: int = 0
    master: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: EngineTls | None = None


def parse(url: str) -> RedisAddress:
    """Parse a URL. Raises ValueError, without the password.

    `redis://user:pw@host:port/db`, `redis+sentinel://pw@host:port,host:port/master/db`,
    `redis+cluster://host:port,host:port`; `rediss` variants use TLS, with the options of `pkg.url.parse_tls`.
    """
    parts = urlsplit(url)
    kind = SCHEMES.get(parts.scheme)
    if kind is None:
        raise ValueError(f"not a Redis URL: {parts.scheme}:")
    secure = parts.scheme.startswith("rediss")
    if parts.fragment or (parts.query and not secure):
        raise ValueError("must have no #fragment, and a ?query with TLS only (rediss:)")
    credentials, _, addresses = parts.netloc.rpartition("@")
    username, colon, password = credentials.partition(":")
    hosts = tuple(split_host_port(address, _PORTS[kind]) for address in addresses.split(","))
    if kind == "single" and len(hosts) != 1:
        raise ValueError("must have one host; for several use redis+sentinel: or redis+cluster:")
    path = [unquote(part) for part in parts.path.strip("/").split("/") if part]
    master = path.pop(0) if kind == "sentinel" and path else ""
    if kind == "sentinel" and not master:
        raise ValueError("needs the master's name: redis+sentinel://host:port/name")
    if len(path) > 1 or (path and kind == "cluster") or not all(p.isascii() and p.isdigit() for p in path):
        raise ValueError("a cluster has no database" if kind == "cluster" else "must end with /database")
    return RedisAddress(
        kind,
        hosts,
        db=int(path[0]) if path else 0,
        master=master,
        username=unquote(username) if colon else "",
        password=unquote(password if colon else username),
        tls=(parse_tls(parts.query) or EngineTls()) if secure else None,
    )


def open_redis(
    url: str,
    *,
    timeout_s: Callable[[], float],
    on_change: Callable[[bool, str], None] = lambda up, why: None,
    observe: Callable[[int], None] | None = None,
) -> RedisConnection | None:
    """Return the unopened connection of a Redis URL, None for another engine.

    Raises ValueError, ImportError.
    """
    if url.partition(":")[0] not in SCHEMES:
        return None
    from shop_order.pkg.redis.client import connect

    return RedisConnection(
        partial(connect, parse(url)), timeout_s=timeout_s, on_change=on_change, observe=observe
    )
