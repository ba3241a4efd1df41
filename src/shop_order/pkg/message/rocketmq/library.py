"""The official client, tamed: it would open a log file under the home directory when it is imported."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

from shop_order.pkg.message.rocketmq.address import Address

_LOG = "rocketmq.v5.log.log_config"
REQUEST_S = 3


def library() -> Any:
    """The package `rocketmq`. Raises ImportError without the extra `rocketmq`."""
    if _LOG not in sys.modules:
        quiet = ModuleType(_LOG)
        logger = logging.getLogger("rocketmq-python-client")
        # It logs each heartbeat, and what we log ourselves; its errors are at debug to us.
        logger.setLevel(logging.CRITICAL)
        quiet.logger = logger  # type: ignore[attr-defined]
        sys.modules[_LOG] = quiet
        logging.getLogger("concurrent.futures").addFilter(_is_not_the_clients)
    import rocketmq

    return rocketmq


def _is_not_the_clients(record: logging.LogRecord) -> bool:
    """While the broker is away each heartbeat of the client raises into nowhere, with a traceback."""
    frame = record.exc_info[2] if isinstance(record.exc_info, tuple) else None
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__", "").startswith("rocketmq."):
            return False
        frame = frame.tb_next
    return True


def configuration(address: Address) -> Any:
    """How the client reaches the proxies."""
    rocketmq = library()
    return rocketmq.ClientConfiguration(
        ";".join(address.proxies),
        rocketmq.Credentials(address.access_key, address.secret),
        request_timeout=REQUEST_S,
    )
