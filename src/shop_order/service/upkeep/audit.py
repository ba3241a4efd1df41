"""Verify the history: each order's hash chain, and the signed daily roots over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from shop_order.domain.comparison import UNREADABLE_ERRORS, chain_fault, state_faults
from shop_order.domain.errors import OrderNotFound, UnreadableRow
from shop_order.domain.event.order_events import GENESIS
from shop_order.domain.history_root import (
    BEFORE_FIRST_ID,
    DayDigest,
    Root,
    day_end_ms,
    document_matches,
    last_full_day,
    next_day,
    signing_input,
)
from shop_order.domain.ports import (
    Audit,
    Clock,
    RootKeys,
    Roots,
    StoredOrder,
    Witness,
    WitnessUnavailable,
)
from shop_order.pkg.ids import last_id_before

PAGE = 500
READ_AT_ONCE = 100  # orders
MAX_BROKEN_DAYS = 100  # that are reported
REMOVED = "has no root, but the registry has one: it was removed"
LATE_MS = 24 * 3_600_000  # after its end a day should have a root


@dataclass(frozen=True, slots=True)
class BrokenChain:
    """The first version of an order whose chain is broken there, or its last, if rows differ from it."""

    order_sn: str
    version: int
    what: str


class AuditService:
    """Verifies the hash chains, and every column of the orders against their chains."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    async def verify(self, order_sn: str | None = None) -> tuple[int, list[BrokenChain]]:
        """Verify all chains, or one. Return their number, and what is wrong with each broken one.

        Raises OrderNotFound for a number under which nothing is stored.
        """
        verified, broken = 0, []
        async for stored in self._stored(order_sn):
            verified += 1
            if fault := self._fault(stored):
                broken.append(fault)
        return verified, broken

    def _fault(self, stored: StoredOrder) -> BrokenChain | None:
        order_sn, last = stored.order_sn, len(stored.chain)
        if isinstance(stored.order, UnreadableRow):
            return BrokenChain(order_sn, last, f"has an order that can't be read: {stored.order!r}")
        if broken := chain_fault(stored):
            return BrokenChain(order_sn, *broken)
        if faults := state_faults(stored, self._clock()):
            return BrokenChain(order_sn, last, "; ".join(faults))
        return None

    async def _stored(self, order_sn: str | None) -> AsyncIterator[StoredOrder]:
        if order_sn is not None:
            (stored,) = await self._audit.stored([order_sn])
            if not (
                stored.chain
                or stored.row
                or stored.payments
                or stored.refunds
                or stored.strays
                or stored.waiting
            ):
                raise OrderNotFound
            yield stored
            return
        after = ""
        while page := await self._audit.order_sns(after, READ_AT_ONCE):
            for stored in await self._audit.stored(page):
                yield stored
            after = page[-1]


@dataclass(frozen=True, slots=True)
class BrokenDay:
    """A day whose events differ from its root, or whose root is invalid."""

    day: str
    what: str


@dataclass(frozen=True, slots=True)
class RootReport:
    """The number of days with a valid root, up to `last_day`, and the broken days in order. `not_compared`
    says why days were not compared with the witness."""

    days: int
    last_day: str
    broken: Sequence[BrokenDay] = ()
    not_compared: str = ""


@dataclass(kw_only=True, eq=False)
class RootAudit:
    """Verifies the daily roots: their chain and signatures, the events they cover, and the witness's copies.

    Days whose events differ are reported and skipped; verification ends where the chain of roots is broken.
    """

    roots: Roots
    keys: RootKeys
    real_clock: Clock
    witness: Witness | None = None

    async def verify(self) -> RootReport:
        """Verify all roots. Raises DependencyDown."""
        copies: Mapping[str, bytes] = {}
        not_compared = ""
        try:
            copies = await self.witness.all() if self.witness else {}
        except WitnessUnavailable as error:
            not_compared = str(error)
        days, last, without_copy = 0, None, 0
        settled_ms = self.real_clock() - LATE_MS
        broken: list[BrokenDay] = []
        while page := await self.roots.page(last.sealed.day if last else "", PAGE):
            for root in page:
                if end := _missing_between(last, root, copies) or self._fault(root, last, copies):
                    return _report(days, last, [*broken, end], not_compared)
                if len(broken) < MAX_BROKEN_DAYS and (what := await self._differs(root, last)):
                    broken.append(BrokenDay(root.sealed.day, what))
                days, last = days + 1, root
                without_copy += root.sealed.day not in copies and day_end_ms(root.sealed.day) <= settled_ms
        if self.witness and without_copy and not not_compared:
            not_compared = f"the registry lacks the roots of {without_copy} day{'s' * (without_copy > 1)}"
        return _report(days, last, [*broken, *await self._missing_after(last, copies)], not_compared)

    def _fault(self, root: Root, last: Root | None, copies: Mapping[str, bytes]) -> BrokenDay | None:
        what = self._invalid(root, last, copies)
        return BrokenDay(root.sealed.day, what) if what else None

    def _invalid(self, root: Root, last: Root | None, copies: Mapping[str, bytes]) -> str:
        """Why this root is not a valid successor of the last valid one; empty if it is."""
        sealed = root.sealed
        try:
            if sealed.prev_root != (last.root if last else GENESIS):
                return "has a root that does not follow the previous one: one of them was inserted later"
            if sealed.root != root.root:
                return "has a root that was altered"
            is_valid = self.keys.verify(root.key_id, signing_input(root.root), root.signature)
        except LookupError:
            return f"is signed by the key {root.key_id}, which AUDIT__ROOT_KEY_FILE does not hold"
        except UNREADABLE_ERRORS as altered:
            return f"has a root that was altered and can't be read: {altered!r}"
        if not is_valid:
            return "has a root with a forged signature"
        if sealed.day in copies and not document_matches(copies[sealed.day], root.root):
            return "has another root than the registry: rows were removed or altered together with their root"
        return ""

    async def _differs(self, root: Root, last: Root | None) -> str:
        """How the day's events differ from those the root covers; empty if they do not."""
        sealed, digest, full = root.sealed, DayDigest(last.sealed.last_id if last else BEFORE_FIRST_ID), True
        try:
            while full:
                page = await self.roots.leaves(digest.at, sealed.last_id, PAGE)
                full = len(page) == PAGE
                digest.add(page, full=full)
        except UNREADABLE_ERRORS as altered:
            return f"has events that were altered and can't be read: {altered!r}"
        if digest.value() == sealed.digest and digest.events == sealed.events:
            return ""
        if digest.events < sealed.events:
            return f"has {digest.events} of its {sealed.events} sealed events: the others were removed"
        if digest.events > sealed.events:
            more = digest.events - sealed.events
            return f"has {digest.events} events, {more} of them added after the day was sealed"
        return f"has {digest.events} events, but not those that were sealed: some were altered"

    async def _missing_after(self, last: Root | None, copies: Mapping[str, bytes]) -> Sequence[BrokenDay]:
        """The first day after the last root that should have a root."""
        day = last.sealed.day if last else ""
        if later := min((each for each in copies if each > day), default=""):
            return [BrokenDay(later, REMOVED)]
        due_day = last_full_day(self.real_clock() - LATE_MS)
        after_id = last.sealed.last_id if last else BEFORE_FIRST_ID
        if due_day > day and await self.roots.leaves(after_id, last_id_before(day_end_ms(due_day)), 1):
            first = next_day(day) if day else "the first day"
            what = "is long over and not sealed: the job is late, or its root was removed"
            return [BrokenDay(first, what)]
        return ()


def _report(days: int, last: Root | None, broken: Sequence[BrokenDay], not_compared: str) -> RootReport:
    return RootReport(days, last.sealed.day if last else "", broken, not_compared)


def _missing_between(last: Root | None, root: Root, copies: Mapping[str, bytes]) -> BrokenDay | None:
    """The first day between these roots that should have one; before the first root, one the witness has."""
    day = root.sealed.day
    if last is None:
        earlier = min((each for each in copies if each < day), default="")
        return BrokenDay(earlier, REMOVED) if earlier else None
    if (due := next_day(last.sealed.day)) == day:
        return None
    return BrokenDay(due, f"has no root, though {day} has one: it was removed")
