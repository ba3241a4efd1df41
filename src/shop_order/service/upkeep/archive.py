"""Archiving: settled orders nobody touched for long go to the history tables, a page at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from shop_order.domain.ports import Archive, Clock, Cursor, OnUnreadable

PAGE = 100  # one commit: it holds an order up for a moment only
DAY_MS = 86_400_000
REST = 9.0  # so many times longer than a page took, so that orders come first
MOST_REST_S = 1.0
LOOK_AGAIN_S = 600.0  # after a whole walk
ASK_AGAIN_S = 60.0  # whether it was switched on meanwhile


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """What one page had: orders looked at, and of them archived; `last` when nothing old comes after it."""

    looked: int
    archived: int
    last: bool


class ArchiveService:
    """Walks over the old orders, oldest first; begun anew, done twice or by two processes, it is no error."""

    def __init__(
        self,
        *,
        archive: Archive,
        on_unreadable: OnUnreadable,
        clock: Clock,
        after_days: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`after_days` is asked again at every step; 0 is off."""
        self._archive = archive
        self._on_unreadable = on_unreadable
        self._clock = clock
        self._after_days = after_days
        self._now_s = monotonic_s
        self._after: Cursor | None = None
        self._rest_s = ASK_AGAIN_S

    async def run_once(self, days: int) -> ArchivedPage:
        """The next page of orders placed more than `days` days ago. Raises DependencyDown, Overloaded.

        An order counts as old from its last change on. Its version decides: one that is changed meanwhile
        stays where it is.
        """
        before_ms = self._clock() - days * DAY_MS
        page = await self._archive.oldest(before_ms, self._after, PAGE)
        for row in page.unreadable:
            self._on_unreadable(row)
        old = {o.order_sn: o.version for o in page.orders if o.is_settled and o.updated_ms < before_ms}
        archived = await self._archive.move(old) if old else 0
        self._after = page.next
        return ArchivedPage(page.total, archived, page.next is None)

    @property
    def is_on(self) -> bool:
        """Whether this is done by itself."""
        return bool(self._after_days())

    @property
    def is_idle(self) -> bool:
        """Whether the walk is at its end, and the next one is not due for long."""
        return self._rest_s == LOOK_AGAIN_S

    async def step(self) -> int:
        """`run_once` as configured, if this is on; how many orders were archived."""
        if not self.is_on:
            return 0
        began_s = self._now_s()
        walked = await self.run_once(self._after_days())
        took_s = self._now_s() - began_s
        self._rest_s = LOOK_AGAIN_S if walked.last else min(took_s * REST, MOST_REST_S)
        return walked.archived

    async def wait(self) -> None:
        """Until the next step is due."""
        await asyncio.sleep(self._rest_s if self.is_on else ASK_AGAIN_S)
