"""Seal the history: sign a root over each day that is over, and copy it to a witness outside the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shop_order.domain.event.order_events import GENESIS
from shop_order.domain.history_root import (
    BEFORE_FIRST_ID,
    DayDigest,
    Root,
    SealedDay,
    day_end_ms,
    document_matches,
    last_full_day,
    next_day,
    signing_input,
)
from shop_order.domain.order_log import DAY_MS
from shop_order.domain.ports import (
    Clock,
    Fence,
    LeaseLost,
    RootConflict,
    RootKeys,
    Roots,
    Witness,
    WitnessUnavailable,
)
from shop_order.pkg.ids import last_id_before
from shop_order.pkg.log import get_logger
from shop_order.service.alerts import Alert

log = get_logger("daily_root")
JOB = "daily_root"
MARGIN_MS = 3_600_000  # from the end of a day to its sealing: no commit takes an hour
PAGE = 500  # events in one step
COPIED = 20  # roots compared with the witness in one step
PAUSE_FACTOR = 9.0  # the pause after a step, as a multiple of its duration: orders come first
MAX_PAUSE_S = 1.0
IDLE_S = 60.0  # while no day is to be sealed
CONTRADICTED_S = 600.0  # after a root that the witness contradicts: an operator must look at it first


@dataclass(slots=True)
class _OpenDay:
    """The digest of a day's events so far, and the fence under which it began."""

    fence: Fence
    day: str
    last_id: int
    prev_root: bytes
    digest: DayDigest


@dataclass(kw_only=True, eq=False)
class DailyRoot:
    """Call `step`, then `wait`, in a loop. A restart begins the current day again."""

    roots: Roots
    keys: RootKeys
    real_clock: Clock
    database_ms: Callable[[], Awaitable[int]]
    alert: Alert
    monotonic_s: Callable[[], float] = time.monotonic
    _open_day: _OpenDay | None = field(default=None, init=False)
    _copied_day: str = field(default="", init=False)  # the witness has all days up to this one
    _pause_s: float = field(default=IDLE_S, init=False)

    async def step(self, fence: Fence, witness: Witness | None = None) -> int:
        """Read the next page of the day to be sealed, or else update the witness. Return how many events were
        read.

        Raises LeaseLost, DependencyDown, Overloaded.
        """
        began_s = self.monotonic_s()
        # After a failure below, the next step begins the day again.
        open_day, self._open_day = self._open_day, None
        if open_day is None or open_day.fence != fence:
            open_day = await self._begin(fence)
        if open_day is None:
            copied = await self._copy(fence, witness)
            self._pause_s = MAX_PAUSE_S if copied else IDLE_S
            return 0
        page = await self.roots.leaves(open_day.digest.at, open_day.last_id, PAGE)
        full = len(page) == PAGE
        open_day.digest.add(page, full=full)
        self._pause_s = min((self.monotonic_s() - began_s) * PAUSE_FACTOR, MAX_PAUSE_S)
        if full:
            self._open_day = open_day
        elif not await self._seal(open_day, witness):
            self._pause_s = CONTRADICTED_S
        return len(page)

    async def wait(self) -> None:
        """Sleep until the next step is due."""
        await asyncio.sleep(self._pause_s)

    async def lag_ms(self) -> int:
        """The time since the end of the last sealed day or, without one, of the day before yesterday.

        Raises DependencyDown.
        """
        last, now_ms = await self.roots.last(), self.real_clock()
        return now_ms - day_end_ms(last.sealed.day if last else last_full_day(now_ms - DAY_MS))

    async def _begin(self, fence: Fence) -> _OpenDay | None:
        """Start with the first day that is over and has no root. The first root of all is yesterday's, and
        covers the whole history.

        The day must be over by both clocks: one that is fast would seal a day on which others still sell.
        """
        last, now_ms = await self.roots.last(), min(self.real_clock(), await self.database_ms())
        day = next_day(last.sealed.day) if last else last_full_day(now_ms - MARGIN_MS)
        if now_ms < day_end_ms(day) + MARGIN_MS:
            return None
        after_id, prev_root = (last.sealed.last_id, last.root) if last else (BEFORE_FIRST_ID, GENESIS)
        return _OpenDay(fence, day, last_id_before(day_end_ms(day)), prev_root, DayDigest(after_id))

    async def _seal(self, open_day: _OpenDay, witness: Witness | None) -> bool:
        """Store the day's root. Return False if the witness has another one: the key signs no second root of
        a day, so that a day can't be sealed again after rows were removed together with their root."""
        sealed = SealedDay(
            open_day.day,
            open_day.last_id,
            open_day.digest.events,
            open_day.digest.value(),
            open_day.prev_root,
        )
        if await self._is_contradicted(sealed, witness):
            self.alert("root_contradicted", day=sealed.day, root=sealed.root.hex())
            return False
        key_id, signature = self.keys.sign(signing_input(sealed.root))
        root = Root(sealed, sealed.root, key_id, signature, self.real_clock())
        try:
            await self.roots.add(root, open_day.fence)
        except RootConflict as conflict:
            log.info("day_sealed_by_another", day=open_day.day, why=str(conflict))
            return True
        # A log that is collected elsewhere is a further witness.
        log.info(
            "day_sealed",
            day=open_day.day,
            events=sealed.events,
            root=sealed.root.hex(),
            signed_by=key_id,
            proof=signature.hex(),
        )
        self._copied_day = ""  # compare all days again: the witness may have lost some
        return True

    async def _is_contradicted(self, sealed: SealedDay, witness: Witness | None) -> bool:
        try:
            if witness is None:
                return False
            if sealed.prev_root == GENESIS:  # a history without roots: the witness must have none either
                return any(
                    day != sealed.day or _contradicts(copy, sealed.root)
                    for day, copy in (await witness.all()).items()
                )
            return _contradicts(await witness.get(sealed.day), sealed.root)
        except WitnessUnavailable:
            return False

    async def _copy(self, fence: Fence, witness: Witness | None) -> int:
        """Copy the next roots to the witness, unless it has them. Return how many were compared."""
        if witness is None:
            return 0
        page = await self.roots.page(self._copied_day, COPIED)
        try:
            for root in page:
                day = root.sealed.day
                copy = await witness.get(day)
                if copy is None and not await witness.put(day, root.document()):
                    raise LeaseLost(fence)
                if _contradicts(copy, root.root):
                    self.alert("root_contradicted", day=day, root=root.root.hex())
                self._copied_day = day
        except WitnessUnavailable as error:
            log.warning("roots_not_copied", after=self._copied_day, error=str(error))
            return 0
        return len(page)


def _contradicts(copy: bytes | None, root: bytes) -> bool:
    return copy is not None and not document_matches(copy, root)
