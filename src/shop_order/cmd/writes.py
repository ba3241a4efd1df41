"""Watches whether the order database takes writes, and tells when that changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from shop_order.pkg.log import get_logger

log = get_logger("store")


class Written(Protocol):
    """What a store offers for it."""

    @property
    def trouble(self) -> str:
        """Why it takes no writes; empty while it does."""

    async def check_writes(self) -> None:
        """Raises DependencyDown."""


class Writes:
    """Tells after an outage too: the log may have been on the disk that was full."""

    def __init__(self, store: Written, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now_s = monotonic_s
        self._why = ""
        self._since_s = 0.0

    async def check(self) -> None:
        """Write something for its own sake. Raises DependencyDown."""
        self._tell()
        try:
            await self._store.check_writes()
        finally:
            self._tell()

    def _tell(self) -> None:
        why = self._store.trouble
        if why and not self._why:
            self._since_s = self._now_s()
            log.error("database_takes_no_writes", code=why)
        if self._why and not why:
            lasted_s = round(self._now_s() - self._since_s, 1)
            log.warning("database_takes_writes_again", code=self._why, lasted_s=lasted_s)
        self._why = why
