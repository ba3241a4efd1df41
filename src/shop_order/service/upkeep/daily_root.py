"""Sealing the history: each day that is over gets a signed root, which is also told outside the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shop_order.domain.event.order_events import GENESIS
from shop_order.domain.history_root import (
    BEFORE_FIRST_ID,
    DayDigest,
    Root,
    RootConflict,
    RootKeys,
    Roots,
    SealedDay,
    Witness,
    WitnessUnavailable,
    day_end_ms,
    document_matches,
    last_full_day,
    message,
    next_day,
)
from shop_order.domain.lease import Fence, LeaseLost
from shop_order.domain.order_log import DAY_MS
from shop_order.domain.ports import Clock
from shop_order.pkg.ids import last_id_before
from shop_order.pkg.log import get_logger

log = get_logger("daily_root")
JOB = "daily_root"
MARGIN_MS = 3_600_000  # so long after its end a day is sealed: no commit takes an hour
PAGE = 500  # events in one step
TELL = 20  # roots that the witness is asked about in one step
REST = 9.0  # so many times longer than a step took, so that orders come first
MOST_REST_S = 1.0
LOOK_AGAIN_S = 60.0  # after the last day that is over
CONTRADICTED_S = 600.0  # after a day whose root was told otherwise: somebody must look at it first


@dataclass(slots=True)
class _Walk:
    """The events of a day, as far as they were read; under which lease that began."""

    fence: Fence
    day: str
    last_id: int
    prev_root: bytes
    digest: DayDigest


class DailyRoot:
    """One step after another: `step`, then `wait`. What was read is begun anew after a restart."""

    def __init__(
        self,
        *,
        roots: Roots,
        keys: RootKeys,
        real_clock: Clock,
        database_ms: Callable[[], Awaitable[int]],
        alert: Callable[..., None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roots = roots
        self._keys = keys
        self._real_clock = real_clock
        self._database_ms = database_ms
        self._alert = alert
        self._now_s = monotonic_s
        self._walk: _Walk | None = None
        self._told = ""  # the witness was asked about all days up to this one
        self._rest_s = LOOK_AGAIN_S

    async def step(self, fence: Fence, witness: Witness | None = None) -> int:
        """The next page of the day to be sealed; how many events it had. Without one, see to the witness.

        Raises LeaseLost, DependencyDown, Overloaded.
        """
        began_s = self._now_s()
        walk, self._walk = self._walk, None  # whatever fails below, the next step begins anew
        if walk is None or walk.fence != fence:
            walk = await self._begin(fence)
        if walk is None:
            asked = await self._tell(fence, witness)
            self._rest_s = MOST_REST_S if asked else LOOK_AGAIN_S
            return 0
        page = await self._roots.leaves(walk.digest.at, walk.last_id, PAGE)
        full = len(page) == PAGE
        walk.digest.take(page, full=full)
        self._rest_s = min((self._now_s() - began_s) * REST, MOST_REST_S)
        if full:
            self._walk = walk
        elif not await self._seal(walk, witness):
            self._rest_s = CONTRADICTED_S
        return len(page)

    async def wait(self) -> None:
        """Until the next step is due."""
        await asyncio.sleep(self._rest_s)

    async def lag_ms(self) -> int:
        """How long ago the last sealed day ended; where there is none yet, the day before yesterday.

        Raises DependencyDown.
        """
        last, now_ms = await self._roots.last(), self._real_clock()
        return now_ms - day_end_ms(last.sealed.day if last else last_full_day(now_ms - DAY_MS))

    async def _begin(self, fence: Fence) -> _Walk | None:
        """The walk over the first day that is over and has no root. The first root is that of yesterday, over
        all history there is.

        Both clocks must say that it is over: one that is ahead would seal a day on which others still sell.
        """
        last, now_ms = await self._roots.last(), min(self._real_clock(), await self._database_ms())
        day = next_day(last.sealed.day) if last else last_full_day(now_ms - MARGIN_MS)
        if now_ms < day_end_ms(day) + MARGIN_MS:
            return None
        after_id, prev_root = (last.sealed.last_id, last.root) if last else (BEFORE_FIRST_ID, GENESIS)
        return _Walk(fence, day, last_id_before(day_end_ms(day)), prev_root, DayDigest(after_id))

    async def _seal(self, walk: _Walk, witness: Witness | None) -> bool:
        """Store the day's root; False if another one was told: the key signs no second root of a day, so who
        removed rows together with their root shall not have a new one."""
        sealed = SealedDay(walk.day, walk.last_id, walk.digest.events, walk.digest.value(), walk.prev_root)
        if await self._is_contradicted(sealed, witness):
            self._alert("root_contradicted", day=sealed.day, root=sealed.root.hex())
            return False
        key_id, signature = self._keys.sign(message(sealed.root))
        root = Root(sealed, sealed.root, key_id, signature, self._real_clock())
        try:
            await self._roots.add(root, walk.fence)
        except RootConflict as moved:
            log.info("day_sealed_by_another", day=walk.day, why=str(moved))
            return True
        # A log that leaves this machine is one more witness.
        log.info(
            "day_sealed",
            day=walk.day,
            events=sealed.events,
            root=sealed.root.hex(),
            signed_by=key_id,
            proof=signature.hex(),
        )
        self._told = ""  # all days once more: a witness may have lost its memory
        return True

    async def _is_contradicted(self, sealed: SealedDay, witness: Witness | None) -> bool:
        try:
            if witness is None:
                return False
            if sealed.prev_root == GENESIS:  # of a history that only begins nothing else was told
                return any(
                    day != sealed.day or _denies(told, sealed.root)
                    for day, told in (await witness.all()).items()
                )
            return _denies(await witness.get(sealed.day), sealed.root)
        except WitnessUnavailable:
            return False

    async def _tell(self, fence: Fence, witness: Witness | None) -> int:
        """Let the witness know the next roots that it may not have; how many it was asked about."""
        if witness is None:
            return 0
        page = await self._roots.page(self._told, TELL)
        try:
            for root in page:
                day = root.sealed.day
                told = await witness.get(day)
                if told is None and not await witness.put(day, root.document()):
                    raise LeaseLost(fence)
                if _denies(told, root.root):
                    self._alert("root_contradicted", day=day, root=root.root.hex())
                self._told = day
        except WitnessUnavailable as away:
            log.warning("roots_not_told", after=self._told, error=str(away))
            return 0
        return len(page)


def _denies(told: bytes | None, root: bytes) -> bool:
    return told is not None and not document_matches(told, root)
