"""The daily root: one signed hash over all events of a day, chained to the root of the day before.

An order's hash chain can't show that its end was removed; a root can. Days are those of China, by the real
time in the events' ids. What a root proves: docs/decisions/history-root.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from shop_order.domain.order_log import DAY_MS, day_of

BEFORE_FIRST_ID = -(1 << 63)  # below every id; the first root starts there
_PURPOSE = b"shop-order history root 1\n"


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a root covers of one event: its position, and its hash over everything else."""

    id: int
    order_sn: str
    version: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class SealedDay:
    """The content of a root: `events` with ids above the previous root's `last_id`, up to and including this
    one's."""

    day: str
    last_id: int
    events: int
    digest: bytes
    prev_root: bytes

    @property
    def root(self) -> bytes:
        """SHA-256 over all fields."""
        head = f"{self.day}\n{self.last_id}\n{self.events}\n".encode()
        return hashlib.sha256(self.prev_root + head + self.digest).digest()


@dataclass(frozen=True, slots=True)
class Root:
    """A stored root: the hash of `sealed`, signed with the key `key_id`."""

    sealed: SealedDay
    root: bytes
    key_id: str
    signature: bytes
    created_ms: int

    def document(self) -> bytes:
        """The JSON document for the witness: enough to verify the signature."""
        document = {key: _plain(value) for key, value in asdict(self.sealed).items()}
        document |= {"root": self.root.hex(), "key_id": self.key_id, "signature": self.signature.hex()}
        return json.dumps(document).encode()


class DayDigest:
    """SHA-256 over events in order of id, page by page. Raises ValueError, TypeError for altered rows."""

    def __init__(self, after_id: int) -> None:
        self.at = after_id
        self.events = 0
        self._hash = hashlib.sha256()

    def add(self, page: Sequence[Leaf], *, full: bool) -> None:
        """Add the next events. Of a `full` page those with the last id are left for the next page, which may
        have more of them."""
        complete = [leaf for leaf in page if leaf.id < page[-1].id] if full else page
        if full and not complete:
            raise ValueError(f"a page of events has one id: {page[-1].id}")
        for leaf in sorted(complete, key=lambda one: (one.id, one.order_sn, one.version)):
            sealed = memoryview(leaf.hash).hex()
            line = f"{leaf.id} {len(leaf.order_sn)}:{leaf.order_sn} {leaf.version} {sealed}\n"
            self._hash.update(line.encode())
        if complete:
            self.at = complete[-1].id
        self.events += len(complete)

    def value(self) -> bytes:
        """The digest of all added events."""
        return self._hash.digest()


def signing_input(root: bytes) -> bytes:
    """The bytes to sign; the prefix keeps the signature from being valid for any other purpose."""
    return _PURPOSE + root


def document_matches(document: bytes, root: bytes) -> bool:
    """Whether the witness's document is that of this root."""
    try:
        return bool(json.loads(document)["root"] == root.hex())
    except (ValueError, LookupError, TypeError):
        return False


def day_end_ms(day: str) -> int:
    """The end of the day (exclusive), in epoch ms."""
    midnight = date.fromisoformat(day) - date(1970, 1, 1)
    return (midnight.days + 1) * DAY_MS - 8 * 3_600_000


def next_day(day: str) -> str:
    """The day after this one."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def last_full_day(ms: int) -> str:
    """The last day that is over at this time."""
    return day_of(ms - DAY_MS)


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
