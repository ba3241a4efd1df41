"""Verify the history: each order's hash chain, and the signed daily roots over all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import GENESIS, Event, link
from shop_order.domain.history_root import (
    BEFORE_FIRST_ID,
    DayDigest,
    Root,
    RootKeys,
    Roots,
    Witness,
    WitnessUnavailable,
    day_end_ms,
    document_matches,
    last_full_day,
    message,
    next_day,
)
from shop_order.domain.ports import Audit, Clock
from shop_order.pkg.ids import last_id_before

PAGE = 500
UNREADABLE_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
)  # of a row that somebody changed past all recognition
LOOKS = 3  # an order may move between the reading of its chain and of its row
MOST_BROKEN = 100  # days that are named
TOLD_OF = "has no root, though the registry was told of one: it was removed"
LATE_MS = 24 * 3_600_000  # a day that is over for longer should have its root


@dataclass(frozen=True, slots=True)
class BrokenChain:
    """The first link of a chain that does not hold."""

    order_sn: str
    version: int
    what: str


class AuditService:
    """Verifies chains against themselves and against the orders they tell of."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def verify(self, order_sn: str | None = None) -> tuple[int, list[BrokenChain]]:
        """How many chains were walked, and the first broken link of each broken one.

        Raises OrderNotFound for a number that has neither a chain nor an order: nothing is broken there.
        """
        if order_sn is not None and not await self._exists(order_sn):
            raise OrderNotFound
        walked, broken = 0, []
        async for sn in self._numbers(order_sn):
            walked += 1
            if fault := await self._fault(sn):
                broken.append(fault)
        return walked, broken

    async def _exists(self, order_sn: str) -> bool:
        try:
            return bool(await self._audit.chain(order_sn)) or await self._audit.order(order_sn) is not None
        except UNREADABLE_ERRORS:
            return True

    async def _fault(self, order_sn: str) -> BrokenChain | None:
        for _ in range(LOOKS):
            chain = list(await self._audit.chain(order_sn))
            try:
                order = await self._audit.order(order_sn)
            except UNREADABLE_ERRORS as altered:
                return BrokenChain(order_sn, len(chain), f"has an order that can't be read: {altered!r}")
            if (fault := check_chain(order_sn, chain, order)) is None:
                return None
        return fault

    async def _numbers(self, order_sn: str | None) -> AsyncIterator[str]:
        if order_sn is not None:
            yield order_sn
            return
        after = ""
        while page := await self._audit.order_sns(after, PAGE):
            for sn in page:
                yield sn
            after = page[-1]


def check_chain(order_sn: str, chain: list[Event], order: Order | None) -> BrokenChain | None:
    """The first link that does not hold, or None."""
    prev = GENESIS
    for version, event in enumerate(chain, start=1):
        if event.version != version:
            return BrokenChain(order_sn, version, "is missing")
        if event.prev_hash != prev:
            return BrokenChain(order_sn, version, "does not follow the one before")
        digest = link(
            prev,
            id=event.id,
            order_sn=order_sn,
            version=version,
            type=event.type,
            payload=event.payload,
            created_ms=event.created_ms,
        )
        if digest != event.hash:
            return BrokenChain(order_sn, version, "was altered")
        prev = event.hash
    if order is None:
        return BrokenChain(order_sn, len(chain), "has no order")
    if not chain or order.version != len(chain):
        return BrokenChain(order_sn, order.version, "is missing")
    told = json.loads(chain[-1].payload)
    if told["new_status"] != int(order.status) or told["user_id"] != order.user:
        return BrokenChain(order_sn, order.version, "tells of another state than the order")
    return None


@dataclass(frozen=True, slots=True)
class BrokenDay:
    """A day whose history is not what was sealed, or whose root is not ours."""

    day: str
    what: str


@dataclass(frozen=True, slots=True)
class RootReport:
    """How many days have a root of ours, up to `last_day`, and those of which something is wrong, the first
    one first; `not_compared` says why the witness could not be compared, or of how many days."""

    days: int
    last_day: str
    broken: Sequence[BrokenDay] = ()
    not_compared: str = ""


class RootAudit:
    """Reads a page at a time. Days whose events differ are passed by; the walk ends where the chain of roots
    does not hold, for behind that nothing is known."""

    def __init__(
        self, *, roots: Roots, keys: RootKeys, real_clock: Clock, witness: Witness | None = None
    ) -> None:
        self._roots = roots
        self._keys = keys
        self._real_clock = real_clock
        self._witness = witness

    async def verify(self) -> RootReport:
        """Raises DependencyDown."""
        told: Mapping[str, bytes] = {}
        not_compared = ""
        try:
            told = await self._witness.all() if self._witness else {}
        except WitnessUnavailable as away:
            not_compared = str(away)
        days, last, untold = 0, None, 0
        settled_ms = self._real_clock() - LATE_MS
        broken: list[BrokenDay] = []
        while page := await self._roots.page(last.sealed.day if last else "", PAGE):
            for root in page:
                if ends := _left_out(last, root, told) or self._fault(root, last, told):
                    return _verified(days, last, [*broken, ends], not_compared)
                if len(broken) < MOST_BROKEN and (what := await self._differs(root, last)):
                    broken.append(BrokenDay(root.sealed.day, what))
                days, last = days + 1, root
                untold += root.sealed.day not in told and day_end_ms(root.sealed.day) <= settled_ms
        if self._witness and untold and not not_compared:
            not_compared = f"of {untold} days it was told nothing"
        return _verified(days, last, [*broken, *await self._missing(last, told)], not_compared)

    def _fault(self, root: Root, last: Root | None, told: Mapping[str, bytes]) -> BrokenDay | None:
        what = self._wrong(root, last, told)
        return BrokenDay(root.sealed.day, what) if what else None

    def _wrong(self, root: Root, last: Root | None, told: Mapping[str, bytes]) -> str:
        """What is wrong with this root, which stands behind the last good one."""
        sealed = root.sealed
        try:
            if sealed.prev_root != (last.root if last else GENESIS):
                return "has a root that does not follow the one before: one of them was put in later"
            if sealed.root != root.root:
                return "has a root that was altered"
            ours = self._keys.verify(root.key_id, message(root.root), root.signature)
        except LookupError:
            return f"is signed by the key {root.key_id}, which AUDIT__ROOT_KEY_FILE does not hold"
        except UNREADABLE_ERRORS as altered:
            return f"has a root that was altered past reading: {altered!r}"
        if not ours:
            return "has a root with a forged signature"
        if sealed.day in told and not document_matches(told[sealed.day], root.root):
            return "has another root than the registry was told: rows were removed or altered with their root"
        return ""

    async def _differs(self, root: Root, last: Root | None) -> str:
        """How the day's events differ from those that were sealed."""
        sealed, digest, full = root.sealed, DayDigest(last.sealed.last_id if last else BEFORE_FIRST_ID), True
        try:
            while full:
                page = await self._roots.leaves(digest.at, sealed.last_id, PAGE)
                full = len(page) == PAGE
                digest.take(page, full=full)
        except UNREADABLE_ERRORS as altered:
            return f"has events that were altered past reading: {altered!r}"
        if digest.value() == sealed.digest and digest.events == sealed.events:
            return ""
        if digest.events < sealed.events:
            return f"has {digest.events} of its {sealed.events} sealed events: the others were removed"
        if digest.events > sealed.events:
            more = digest.events - sealed.events
            return f"has {digest.events} events, {more} of them added after the day was sealed"
        return f"has {digest.events} events, but not those that were sealed: some were altered"

    async def _missing(self, last: Root | None, told: Mapping[str, bytes]) -> Sequence[BrokenDay]:
        """The first day behind the last root that should have one."""
        day = last.sealed.day if last else ""
        if later := min((each for each in told if each > day), default=""):
            return [BrokenDay(later, TOLD_OF)]
        due_day = last_full_day(self._real_clock() - LATE_MS)
        after_id = last.sealed.last_id if last else BEFORE_FIRST_ID
        if due_day > day and await self._roots.leaves(after_id, last_id_before(day_end_ms(due_day)), 1):
            first = next_day(day) if day else "the first day"
            what = "is over for long and not sealed: the job is late, or its root was removed"
            return [BrokenDay(first, what)]
        return ()


def _verified(days: int, last: Root | None, broken: Sequence[BrokenDay], not_compared: str) -> RootReport:
    return RootReport(days, last.sealed.day if last else "", broken, not_compared)


def _left_out(last: Root | None, root: Root, told: Mapping[str, bytes]) -> BrokenDay | None:
    """The first day between these two that should have a root; before the first root, one that was told."""
    day = root.sealed.day
    if last is None:
        earlier = min((each for each in told if each < day), default="")
        return BrokenDay(earlier, TOLD_OF) if earlier else None
    if (due := next_day(last.sealed.day)) == day:
        return None
    return BrokenDay(due, f"has no root, though {day} has one: it was removed")
