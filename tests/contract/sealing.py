"""A history of several days, and who seals it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from shop_order.domain.history_root import day_end_ms
from shop_order.domain.ports import Fence, Witness, WitnessUnavailable
from shop_order.pkg.ed25519 import Ed25519Keys, new_private_pem
from shop_order.pkg.ids import last_id_before
from shop_order.repository.dao.store import Store
from shop_order.service.upkeep.audit import BrokenDay, RootAudit
from shop_order.service.upkeep.daily_root import JOB, MARGIN_MS, DailyRoot
from tests.contract.engine import BUYER, NOW_MS, Engine, added, opened, paid

HOUR_MS = 3_600_000
FIRST_DAY, SECOND_DAY, THIRD_DAY = "2026-11-18", "2026-11-19", "2026-11-20"
PEM = new_private_pem()


@dataclass
class Found:
    """What `audit verify` found of the roots: of the first day of which something is wrong."""

    days: int
    last_day: str
    broken_day: str
    what: str
    not_compared: str
    broken_days: list[str]


@dataclass
class Beside:
    """A witness in memory; `locked` is whether we have its lock."""

    documents: dict[str, bytes] = field(default_factory=dict)
    locked: bool = True
    away: bool = False
    asked: int = 0

    async def get(self, day: str) -> bytes | None:
        self._require()
        return self.documents.get(day)

    async def put(self, day: str, document: bytes) -> bool:
        self._require()
        if self.locked:
            self.documents[day] = document
        return self.locked

    async def all(self) -> Mapping[str, bytes]:
        self._require()
        return dict(self.documents)

    def _require(self) -> None:
        self.asked += 1
        if self.away:
            raise WitnessUnavailable("nobody answers")


@dataclass
class Sealing:
    """The service's clock, ids that begin with it, and what seals and verifies."""

    engine: Engine
    pem: bytes = PEM
    now_ms: int = day_end_ms(FIRST_DAY) - 12 * HOUR_MS
    ahead_ms: int = 0  # by how much the clock of who seals is wrong
    database_ahead_ms: int = 0

    def __post_init__(self) -> None:
        self.alerts: list[str] = []
        self._sequence = itertools.count()

    async def open(self) -> Sealing:
        """Our ids tell our time."""
        await self.engine.opened.pop().close()
        self.engine.next_id = self.next_id
        await self.engine.open()
        return self

    @property
    def store(self) -> Store:
        """The open store."""
        return self.engine.store

    def next_id(self) -> int:
        """Of this moment."""
        return last_id_before(self.now_ms) + 1 + next(self._sequence) % 4096

    def is_after(self, day: str, by_ms: int = 2 * HOUR_MS) -> None:
        """It is so long after a day's end now."""
        self.now_ms = day_end_ms(day) + by_ms

    async def story(self) -> str:
        """An order with four events of today."""
        new = await added(self.store)
        await paid(self.store, new, await opened(self.store, new))
        await self.store.orders.change(
            new.order_sn, lambda o: o.ship("顺丰", "SF1", BUYER, NOW_MS, auto_confirm_ms=9)
        )
        return new.order_sn

    def sealer(self) -> DailyRoot:
        """That of a new process."""
        return DailyRoot(
            roots=self.store.roots,
            keys=Ed25519Keys(self.pem),
            real_clock=lambda: self.now_ms + self.ahead_ms,
            database_ms=self._database_ms,
            alert=lambda name, **about: self.alerts.append(name),
        )

    async def _database_ms(self) -> int:
        return self.now_ms + self.database_ahead_ms

    async def fence(self) -> Fence:
        """Under our lease."""
        assert await self.store.leases.hold(JOB)
        return self.store.leases.fence(JOB)

    async def seal(self, witness: Witness | None = None, days: int = 1) -> None:
        """Seal all that is over, and tell the witness."""
        sealer, fence = self.sealer(), await self.fence()
        for _ in range(3 * days):
            await sealer.step(fence, witness)

    async def verified(self, witness: Witness | None = None) -> Found:
        """What `audit verify` finds."""
        found = await RootAudit(
            roots=self.store.roots,
            keys=Ed25519Keys(self.pem),
            real_clock=lambda: self.now_ms,
            witness=witness,
        ).verify()
        first = found.broken[0] if found.broken else BrokenDay("", "")
        days = [one.day for one in found.broken]
        return Found(found.days, found.last_day, first.day, first.what, found.not_compared, days)

    async def two_days(self, witness: Witness | None = None) -> tuple[str, str]:
        """An order of each of two days, both sealed; their numbers."""
        first = await self.story()
        self.is_after(FIRST_DAY, 12 * HOUR_MS)
        second = await self.story()
        self.is_after(SECOND_DAY)
        await self.seal(witness, 1)  # the first root is that of yesterday, over all before
        return first, second

    def unguard(self) -> None:
        """What whoever has the database's password can do."""
        for guard in self.engine.guards:
            self.engine.sql(f"DROP TRIGGER {guard}")


async def days_of(sealing: Sealing) -> list[tuple[str, int]]:
    """Each root's day and number of events."""
    return [(one.sealed.day, one.sealed.events) for one in await sealing.store.roots.page("", 100)]


async def three_days(sealing: Sealing, witness: Beside | None = None) -> list[str]:
    """An order of each day, each day sealed when it was over."""
    numbers = []
    for day in (FIRST_DAY, SECOND_DAY, THIRD_DAY):
        sealing.is_after(day, -12 * HOUR_MS)
        numbers.append(await sealing.story())
        sealing.is_after(day)
        await sealing.seal(witness)
    return numbers


__all__ = [
    "FIRST_DAY",
    "HOUR_MS",
    "MARGIN_MS",
    "SECOND_DAY",
    "THIRD_DAY",
    "Beside",
    "Sealing",
    "days_of",
    "three_days",
]
