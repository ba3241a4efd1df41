"""The daily root: one signed hash over all events of a day, chained to the root of the day before.

A chain of hashes can't tell that its end was cut off; a root can. Days are those of China, by the real time
in the events' ids. What it shows, and what not: docs/decisions/history-root.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Protocol

from shop_order.domain.lease import Fence
from shop_order.domain.order_log import DAY_MS, day_of

BEFORE_FIRST_ID = -(1 << 63)  # below every id: the first root begins there
_PURPOSE = b"shop-order history root 1\n"


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a root holds of one event: its place, and the hash that seals everything else."""

    id: int
    order_sn: str
    version: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class SealedDay:
    """What is signed: `events` with ids above the last root's `last_id`, up to and with this one's."""

    day: str
    last_id: int
    events: int
    digest: bytes
    prev_root: bytes

    @property
    def root(self) -> bytes:
        """SHA-256 over all of it; the same whoever computes it."""
        head = f"{self.day}\n{self.last_id}\n{self.events}\n".encode()
        return hashlib.sha256(self.prev_root + head + self.digest).digest()


@dataclass(frozen=True, slots=True)
class Root:
    """A root as it is stored: what `sealed` amounts to, as `key_id` signed it."""

    sealed: SealedDay
    root: bytes
    key_id: str
    signature: bytes
    created_ms: int

    def document(self) -> bytes:
        """As it is told outside the database: JSON, enough to verify the signature there."""
        told = {key: _plain(value) for key, value in asdict(self.sealed).items()}
        told |= {"root": self.root.hex(), "key_id": self.key_id, "signature": self.signature.hex()}
        return json.dumps(told).encode()


class DayDigest:
    """SHA-256 over events in order of id, a page at a time. Raises ValueError, TypeError for altered rows."""

    def __init__(self, after_id: int) -> None:
        self.at = after_id
        self.events = 0
        self._hash = hashlib.sha256()

    def take(self, page: Sequence[Leaf], *, full: bool) -> None:
        """The events behind those before; of a `full` page those with the last id come with the next one,
        since the rest of them may."""
        known = [leaf for leaf in page if leaf.id < page[-1].id] if full else page
        if full and not known:
            raise ValueError(f"a page of events has one id: {page[-1].id}")
        for leaf in sorted(known, key=lambda one: (one.id, one.order_sn, one.version)):
            sealed = memoryview(leaf.hash).hex()
            line = f"{leaf.id} {len(leaf.order_sn)}:{leaf.order_sn} {leaf.version} {sealed}\n"
            self._hash.update(line.encode())
        if known:
            self.at = known[-1].id
        self.events += len(known)

    def value(self) -> bytes:
        """Of all that was taken."""
        return self._hash.digest()


def message(root: bytes) -> bytes:
    """What is signed: a root, and nothing that the same key could ever sign for another purpose."""
    return _PURPOSE + root


def document_matches(document: bytes, root: bytes) -> bool:
    """Whether this is what was told of the root."""
    try:
        return bool(json.loads(document)["root"] == root.hex())
    except (ValueError, LookupError, TypeError):
        return False


def day_end_ms(day: str) -> int:
    """The first moment after it, in epoch milliseconds."""
    midnight = date.fromisoformat(day) - date(1970, 1, 1)
    return (midnight.days + 1) * DAY_MS - 8 * 3_600_000


def next_day(day: str) -> str:
    """The next one."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def last_full_day(ms: int) -> str:
    """The day before the one of this moment."""
    return day_of(ms - DAY_MS)


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


class RootConflict(Exception):
    """The last root is another one than this root follows, or its day has one: nothing was stored."""


class Roots(Protocol):
    """The stored roots, which nobody changes, and the events they are made of."""

    async def last(self) -> Root | None:
        """The latest day's."""

    async def page(self, after_day: str, limit: int) -> Sequence[Root]:
        """In order of day; from the first one on after ''."""

    async def leaves(self, after_id: int, upto_id: int, limit: int) -> Sequence[Leaf]:
        """Events in order of id."""

    async def add(self, root: Root, fence: Fence) -> None:
        """Store it behind the last one. Raises LeaseLost, RootConflict, DependencyDown."""


class RootKeys(Protocol):
    """The key that signs, and all whose signatures count."""

    def sign(self, message: bytes) -> tuple[str, bytes]:
        """The key's id and its signature."""

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. Raises LookupError for a key that is not ours."""


class WitnessUnavailable(Exception):
    """It can't be asked now."""


class Witness(Protocol):
    """Where roots are also told, so that they can't be removed together with the rows they vouch for."""

    async def get(self, day: str) -> bytes | None:
        """The document of this day's root. Raises WitnessUnavailable."""

    async def put(self, day: str, document: bytes) -> bool:
        """Keep it, if this process still has the witness's own lock; whether it did. Raises WitnessUnavailable."""

    async def all(self) -> Mapping[str, bytes]:
        """Every document by day. Raises WitnessUnavailable."""
