"""RocketMQ's URL, and its official client without the log file that it opens in the home directory.

`rocketmq://[access:secret@]proxy:8081[,proxy:8081][?namesrv=host:9876&prefix=…]`
"""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from shop_order.pkg.address import is_host_port

_LOG = "rocketmq.v5.log.log_config"
REQUEST_S = 3
_NAME = re.compile(r"[A-Za-z0-9_-]{0,64}")


@dataclass(frozen=True, slots=True)
class RocketMQAddress:
    """The proxies. `namesrv` is needed to create topics and groups; `prefix` separates several shops on one
    cluster, since the open-source proxy silently ignores the protocol's own namespaces."""

    proxies: tuple[str, ...]
    namesrv: str = ""
    prefix: str = ""
    access_key: str = ""
    secret: str = ""

    def full(self, name: str) -> str:
        """Return the name of a topic or group at the broker."""
        return f"{self.prefix}-{name}" if self.prefix else name


def parse(url: str) -> RocketMQAddress:
    """Parse a URL. Raises ValueError, without the secret."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    access, _, secret = login.partition(":")
    proxies = tuple(hosts.split(","))
    if not all(map(is_host_port, proxies)):
        raise ValueError("must be rocketmq://host:port, the address of a proxy; several with commas")
    if parts.path.strip("/") or parts.fragment:
        raise ValueError("rocketmq: has no path")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - {"namesrv", "prefix"}):
        raise ValueError(f"unknown option {', '.join(unknown)} (rocketmq: has namesrv and prefix)")
    namesrv, prefix = options.get("namesrv", ""), options.get("prefix", "")
    if namesrv and not is_host_port(namesrv):
        raise ValueError("namesrv must be host:port")
    if not _NAME.fullmatch(prefix):
        raise ValueError("prefix must be letters, digits, - and _")
    return RocketMQAddress(proxies, namesrv, prefix, unquote(access), unquote(secret))


def library() -> Any:
    """Import and return the package `rocketmq`. Raises ImportError without the extra `rocketmq`."""
    if _LOG not in sys.modules:
        quiet = ModuleType(_LOG)
        logger = logging.getLogger("rocketmq-python-client")
        # It logs each heartbeat, and errors that we log ourselves.
        logger.setLevel(logging.CRITICAL)
        quiet.logger = logger  # type: ignore[attr-defined]
        sys.modules[_LOG] = quiet
        logging.getLogger("concurrent.futures").addFilter(_is_not_from_client)
    import rocketmq

    return rocketmq


def _is_not_from_client(record: logging.LogRecord) -> bool:
    """Filter the unhandled exceptions of the client's heartbeats while the broker is unreachable."""
    frame = record.exc_info[2] if isinstance(record.exc_info, tuple) else None
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__", "").startswith("rocketmq."):
            return False
        frame = frame.tb_next
    return True


def configuration(address: RocketMQAddress) -> Any:
    """Return the client's configuration."""
    rocketmq = library()
    return rocketmq.ClientConfiguration(
        ";".join(address.proxies),
        rocketmq.Credentials(address.access_key, address.secret),
        request_timeout=REQUEST_S,
    )
