"""Compares what is stored of an order with what its history implies, for `doctor` and `audit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shop_order.domain.event.order_events import GENESIS, seal, text_hash
from shop_order.domain.implied import MAX_TRIES, Columns, Counted, Hash, Implied, Scheduled, Texts
from shop_order.domain.ports import StoredOrder, StoredRow
from shop_order.domain.replay import ITEM_TEXTS, PAGES, UnknownEvent, replay

UNREADABLE_ERRORS = (ValueError, LookupError, TypeError)  # raised for an altered payload
# Jobs schedule nothing further ahead: twice their longest pause, since clocks differ.
MAX_AHEAD_MS = 3_600_000
# The relay holds an event back for a minute at most.
MAX_HELD_MS = 120_000

# Columns that are not compared, and why no money, delivery or job rests on them.
FREE: Mapping[str, Mapping[str, str]] = {
    "order": {"deleted_at": "nothing sets or reads it"},
    "items": {
        "id": "only sorts the lines; nothing refers to it",
        "created_at": "a copy of the order's, for reports of chapter 2; never read",
        "updated_at": "a copy of the order's, for reports of chapter 2; never read",
        "deleted_at": "nothing sets or reads it",
    },
    "payments": {},
    "refunds": {},
    "waiting": {
        "request_id": "only tells a log and a consumer's trace whose request it was",
        "traceparent": "only tells a log and a consumer's trace whose request it was",
    },
}


def chain_fault(stored: StoredOrder) -> tuple[int, str] | None:
    """The first version at which the chain is broken, and how; None if it is whole."""
    prev = GENESIS
    for version, event in enumerate(stored.chain, start=1):
        if event.version != version:
            return version, "is missing"
        if event.prev_hash != prev:
            return version, "does not follow the one before"
        if seal(event, id=event.id, order_sn=stored.order_sn, prev_hash=prev).hash != event.hash:
            return version, "was altered"
        prev = event.hash
    if not stored.row:
        return len(stored.chain), "has no order"
    counted = stored.row["version"]
    if not stored.chain or counted != len(stored.chain):
        return (counted if isinstance(counted, int) else len(stored.chain)), "is missing"
    return None


def state_faults(stored: StoredOrder, now_ms: int) -> list[str]:
    """Where the rows differ from what the whole chain of their order implies."""
    try:
        implied = replay(stored.chain)
    except UnknownEvent as event:
        return [f"has an event that this version can't replay: {event}"]
    except UNREADABLE_ERRORS as altered:
        return [f"has a history that can't be replayed: {altered!r}"]
    return [*_faults(stored, implied, now_ms), *outbox_faults(stored, now_ms)]


def outbox_faults(stored: StoredOrder, now_ms: int) -> list[str]:
    """Why its events that wait to be published will not be, or not in time, or again and again."""
    return [fault for row in stored.waiting for fault in _outbox_faults(stored, row, now_ms)]


def _outbox_faults(stored: StoredOrder, row: StoredRow, now_ms: int) -> Iterator[str]:
    version, what = row["version"], f"version {row['version']} in the outbox: "
    if not any((event.version, event.id) == (version, row["event_id"]) for event in stored.chain):
        yield f"{what}its history has no such event"
    for name in ("not_before_ms", "created_ms"):
        found = row[name]
        if not (isinstance(found, int) and found <= now_ms + MAX_HELD_MS):
            yield f"{what}{name} is {found!r}, but no event is held back that long"
    if not _fits(row["tries"], Counted(), now_ms):
        yield f"{what}tries is {row['tries']!r}, which no job has counted"


def _faults(stored: StoredOrder, implied: Implied, now_ms: int) -> Iterator[str]:
    yield from _differences("", implied.order, stored.row, now_ms)
    for table in stored.strays:
        yield f"has rows in {table} too, though it is {'archived' if stored.archived else 'not archived'}"
    if stored.archived and not implied.is_settled:
        yield "is archived, though it is not settled: no job finds it"
    for what, rows, key, wanted in (
        ("item", stored.items, "goods", implied.items),
        ("payment", stored.payments, "payment_sn", implied.payments),
        ("refund", stored.refunds, "refund_sn", implied.refunds),
    ):
        found = {row[key]: row for row in rows}
        if len(rows) != len(wanted) or found.keys() != wanted.keys():
            yield f"has other {what}s than its history: {_listed(found)}, not {_listed(wanted)}"
        for number, columns in wanted.items():
            if number in found:
                yield from _differences(f"{what} {number}: ", columns, found[number], now_ms)
    yield from _text_faults(stored, implied)


def _listed(numbers: Mapping[object, object] | Mapping[str, object] | Mapping[int, object]) -> str:
    return ", ".join(sorted(map(str, numbers))) or "none"


def _differences(what: str, columns: Columns, row: StoredRow, now_ms: int) -> Iterator[str]:
    for name, wanted in columns.items():
        found = row[name]
        if found == wanted or _fits(found, wanted, now_ms):
            continue
        if isinstance(wanted, Hash):
            yield f"{what}has another {name} than in its history"
        elif isinstance(wanted, Scheduled):
            yield f"{what}{name} is {found!r}, though its history schedules a job"
        elif isinstance(wanted, Counted):
            yield f"{what}{name} is {found!r}, which no job has counted"
        else:
            told = sorted(map(str, wanted)) if isinstance(wanted, frozenset) else _plain(wanted)
            yield f"{what}{name} is {_plain(found)}, its history says {told}"


def _plain(value: object) -> str:
    """An enumeration as it is stored."""
    return repr(getattr(value, "value", value))


def _fits(found: object, wanted: object, now_ms: int) -> bool:
    if isinstance(wanted, frozenset):
        return found in wanted
    if isinstance(wanted, Hash):
        return isinstance(found, str) and text_hash((found,)) == wanted.value
    if isinstance(wanted, Scheduled):
        if found is None:
            return wanted.optional_from_ms is not None and wanted.optional_from_ms <= now_ms
        return isinstance(found, int) and found <= max(wanted.latest_ms, now_ms + MAX_AHEAD_MS)
    return isinstance(wanted, Counted) and isinstance(found, int) and 0 <= found <= MAX_TRIES


def _text_faults(stored: StoredOrder, implied: Implied) -> Iterator[str]:
    if implied.goods_hash:
        items = sorted(stored.items, key=lambda row: str(row["goods"]).rjust(20))
        if _hash_of([row[name] for row in items for name in ITEM_TEXTS]) != implied.goods_hash:
            yield f"has another {' or '.join(ITEM_TEXTS)} than was ordered"
    if implied.pages_hash is not None:
        pages = [stored.row[name] for name in PAGES]
        if (_hash_of(pages) if any(pages) else "") != implied.pages_hash:
            yield f"has another {' or '.join(PAGES)} than was ordered"
    refunds = {row["refund_sn"]: row for row in stored.refunds}
    for texts in implied.texts.values():
        row = refunds.get(texts.refund_sn) if texts.refund_sn else stored.row
        if row is not None and (fault := _salted_fault(texts, row, stored.row["salt"], implied)):
            yield f"refund {texts.refund_sn}: {fault}" if texts.refund_sn else fault


def _salted_fault(texts: Texts, row: StoredRow, salt: object, implied: Implied) -> str:
    """How personal or free texts differ from their hash; empty if they do not, or were erased.

    Erased are the texts and the salt of a finished order, all together: then nobody can tell any more what
    the hash was made of.
    """
    found = [row[name] for name in texts.columns]
    if _hash_of(found, str(salt)) == texts.hash:
        return ""
    told = implied.refunds.get(texts.refund_sn, {})
    left = [name for name in texts.columns if row[name] and name not in told]
    if salt == "" and not left and implied.is_finished:
        return ""
    return f"has another {', '.join(texts.columns)} or salt than in its history"


def _hash_of(texts: Sequence[object], salt: str = "") -> str:
    return text_hash([str(text) if text is not None else "" for text in texts], salt)
