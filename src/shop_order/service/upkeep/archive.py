"""Move settled orders that have not changed for long to the history tables, page by page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shop_order.domain.ports import Archive, Clock, Cursor, OnUnreadable

PAGE = 100  # one commit: it delays orders only briefly
DAY_MS = 86_400_000
PAUSE_FACTOR = 9.0  # the pause after a page, as a multiple of its duration: orders come first
MAX_PAUSE_S = 1.0
NEXT_SCAN_S = 600.0  # after the last page
DISABLED_POLL_S = 60.0


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """The orders examined on a page, how many were archived, and whether it was the last page."""

    examined: int
    archived: int
    is_last: bool


@dataclass(kw_only=True, eq=False)
class ArchiveService:
    """Scans old orders, oldest first. Idempotent, also across processes."""

    archive: Archive
    on_unreadable: OnUnreadable
    clock: Clock
    after_days: Callable[[], int]  # called at every step; 0 disables archiving
    monotonic_s: Callable[[], float] = time.monotonic
    _after: Cursor | None = field(default=None, init=False)
    _pause_s: float = field(default=DISABLED_POLL_S, init=False)

    async def run_once(self, days: int) -> ArchivedPage:
        """Process the next page of orders placed more than `days` days ago.

        An order's age counts from its last change. One whose version changes meanwhile stays.
        Raises DependencyDown, Overloaded.
        """
        before_ms = self.clock() - days * DAY_MS
        page = await self.archive.oldest(before_ms, self._after, PAGE)
        for row in page.unreadable:
            self.on_unreadable(row)
        old = {o.order_sn: o.version for o in page.orders if o.is_settled and o.updated_ms < before_ms}
        archived = await self.archive.move(old) if old else 0
        self._after = page.next
        return ArchivedPage(page.total, archived, page.next is None)

    @property
    def is_enabled(self) -> bool:
        """Whether the settings enable the job."""
        return bool(self.after_days())

    @property
    def is_idle(self) -> bool:
        """Whether a scan is complete and the next one is not due soon."""
        return self._pause_s == NEXT_SCAN_S

    async def step(self) -> int:
        """Process the next page as configured, if enabled. Return how many orders were archived."""
        if not self.is_enabled:
            return 0
        began_s = self.monotonic_s()
        page = await self.run_once(self.after_days())
        took_s = self.monotonic_s() - began_s
        self._pause_s = NEXT_SCAN_S if page.is_last else min(took_s * PAUSE_FACTOR, MAX_PAUSE_S)
        return page.archived

    async def wait(self) -> None:
        """Sleep until the next step is due."""
        await asyncio.sleep(self._pause_s if self.is_enabled else DISABLED_POLL_S)
