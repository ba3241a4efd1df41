"""Doctor and audit compare every column with the history: whatever is rewritten behind our back is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shop_order.domain.comparison import FREE, MAX_AHEAD_MS, MAX_HELD_MS
from shop_order.domain.implied import MAX_TRIES
from shop_order.domain.replay import PERSONAL, REFUND_TEXTS
from shop_order.repository.dao.rows import HISTORY, LIVE, Tables
from shop_order.repository.dao.store import Store
from shop_order.service.settle import QUERY_BACKOFF_MS, REFUND_BACKOFF_MS
from tests.contract.archived import LATER_MS, archive_all
from tests.contract.engine import NOW_MS, Engine, FileEngine, added, sn, stored_columns
from tests.contract.kinds import clock, every_kind, faults

_numbers = itertools.count(1)
YEAR_MS = 365 * 86_400_000
KINDS = (("order", "orders", "id"), ("items", "items", "id"), ("payments", "payments", "payment_sn"),
         ("refunds", "refunds", "refund_sn"))  # fmt: skip
# Another value where a plain one could not be stored, or would not be read.
OTHERS: dict[str, list[object]] = {
    "salt": ["0" * 32],
    "pay_type": ["alipay", "wechat", ""],
    "payment_type": [1, 2],
    "status": [1, 2, 3, 4, 5],
    "type": ["refund_only", "return"],
    "requested_by": ["BUYER", "ADMIN"],
    "surplus": [0, 1],
    "items": ["", "1:1:1"],
    "pay_time": ["2026-11-30 01:02:03.004", None],
    "created_at": ["2026-11-30 01:02:03.004"],
    "updated_at": ["2026-11-30 01:02:03.004"],
    "refunded_fen": [0, 1],
    "amount_fen": [1_000_001],
    "ask_tries": [-1, MAX_TRIES + 1],
    "tries": [-1, MAX_TRIES + 1],
}
STATES = {
    "payments": ["pending", "processing", "unknown", "paid", "closed", "part_refunded", "refunded"],
    "refunds": ["requested", "rejected", "approved", "sent", "succeeded", "failed", "settled"],
}
# What a finding says instead of the column's name: rows are found by these, texts are compared by a hash.
SAYS = {
    "order": {"order_sn": "has no order", "version": "is missing", "salt": "or salt than in its history"},
    "items": {"order": "other items", "goods": "other items"},
    "payments": {"payment_sn": "other payments", "order_sn": "other payments"},
    "refunds": {"refund_sn": "other refunds", "order_sn": "other refunds"},
}


def columns(engine: Engine, table: str) -> list[str]:
    """The columns that are not generated."""
    return [name.strip('"') for name in stored_columns(engine, table)]


def others(kind: str, column: str, value: Any) -> Iterator[object]:
    """Other values for a column that somebody might store."""
    choices = STATES[kind] if column == "state" else OTHERS.get(column)
    if choices is not None:
        yield from [other for other in choices if other != value]
    elif column in ("due_ms", "ask_ms", "try_ms"):
        yield from (NOW_MS + YEAR_MS, *([None] if value is not None else []))
    elif column in ("open_order_sn", "surplus_of"):
        yield f"X{next(_numbers)}" if value is None else None
    else:
        yield value + 1 if isinstance(value, int) else f"{value or ''}1"


def rewritten(
    engine: Engine, tables: Tables, kind: str, table: str, key: str
) -> Iterator[tuple[str, set[str]]]:
    """Change a column in every row, each of its other values in turn; the column and the orders it is of.

    On a server, where each turn takes seconds, one other value: they are compared by the same code.
    """
    of_order = {row[0]: row[1] for row in engine.sql(f"SELECT id, order_sn FROM {tables.orders}")}
    owner = "order" if kind == "items" else "order_sn"
    for name in columns(engine, table):
        if name in FREE[kind]:
            continue
        stored = engine.sql(f'SELECT "{key}", "{owner}", "{name}" FROM {table}')
        choices = [list(others(kind, name, value)) for _, _, value in stored]
        most = max(map(len, choices))
        for turn in range(most if isinstance(engine, FileEngine) else min(most, 1)):
            changed = [
                (row, other[turn]) for row, other in zip(stored, choices, strict=True) if turn < len(other)
            ]
            set_one = f'UPDATE {table} SET "{name}" = ? WHERE "{key}" = ?'
            for (number, _, _), other in changed:
                engine.sql(set_one, other, number)
            yield name, {str(of_order[of] if kind == "items" else of) for (_, of, _), _ in changed}
            for (number, _, value), other in changed:
                engine.sql(set_one, value, other if name == key else number)


def unguard(engine: Engine) -> None:
    """What whoever has the database's password can do."""
    for guard in engine.guards:
        engine.sql(f"DROP TRIGGER {guard}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "part", "key"), KINDS)
@pytest.mark.parametrize("archived", [False, True])
async def test_each_column_that_is_rewritten_is_named(
    engine: Engine, kind: str, part: str, key: str, archived: bool
) -> None:
    await every_kind(engine.store)
    now: Callable[[], int] = clock
    if archived:
        engine.sql("UPDATE payment SET ask_ms = NULL WHERE state = 'closed'")  # its link is over by then
        assert await archive_all(engine.store) == 8
        now = lambda: LATER_MS  # noqa: E731 - a clock
    assert await faults(engine.store, now) == ({}, {})
    unguard(engine)
    tables = HISTORY if archived else LIVE
    missed = []
    tried: set[str] = set()
    for column, order_sns in rewritten(engine, tables, kind, getattr(tables, part), key):
        tried.add(column)
        wanted = SAYS[kind].get(column, column)
        for what, found in zip(("doctor", "audit"), await faults(engine.store, now), strict=True):
            missed += [
                (what, column, sn, found.get(sn)) for sn in order_sns if wanted not in found.get(sn, "")
            ]
    assert missed == []
    assert tried == set(columns(engine, getattr(tables, part))) - set(FREE[kind])
    assert await faults(engine.store, now) == ({}, {}), "all was put back"


async def test_each_column_is_compared_or_free_for_a_reason(engine: Engine) -> None:
    for kind, part, _ in KINDS:
        for tables in (LIVE, HISTORY):
            names = set(columns(engine, getattr(tables, part)))
            assert FREE[kind].keys() <= names
    assert all(len(reason) > 20 for free in FREE.values() for reason in free.values())


def test_jobs_pause_shorter_than_what_counts_as_far_ahead() -> None:
    assert 2 * max(*QUERY_BACKOFF_MS, *REFUND_BACKOFF_MS) <= MAX_AHEAD_MS
    assert {*PERSONAL, *REFUND_TEXTS} >= {"signer_name", "signer_mobile", "address", "reason", "decision"}


OF_THE_OUTBOX: dict[str, Callable[[int], object]] = {
    "event_id": lambda value: value + 10**9,
    "order_sn": lambda value: sn(),
    "version": lambda value: value + 98,
    "created_ms": lambda value: NOW_MS + YEAR_MS,
    "tries": lambda value: -1,
    "not_before_ms": lambda value: NOW_MS + YEAR_MS,
}


def test_each_column_of_the_outbox_is_compared_or_free(engine: Engine) -> None:
    assert set(columns(engine, "outbox")) == OF_THE_OUTBOX.keys() | FREE["waiting"].keys()


@pytest.mark.parametrize("column", OF_THE_OUTBOX)
@pytest.mark.parametrize("archived", [False, True])
async def test_an_event_that_will_not_go_out_is_named(engine: Engine, column: str, archived: bool) -> None:
    await every_kind(engine.store)
    if archived:
        engine.sql("UPDATE payment SET ask_ms = NULL WHERE state = 'closed'")
        assert await archive_all(engine.store) == 8
    now: Callable[[], int] = (lambda: LATER_MS) if archived else clock
    assert await faults(engine.store, now) == ({}, {})
    table = "order_info_history" if archived else "order_info"
    ((of,), *_) = engine.sql(f"SELECT order_sn FROM {table}")
    ((value,),) = engine.sql(f'SELECT "{column}" FROM outbox WHERE order_sn = ? AND version = 1', of)
    assert isinstance(value, int | str)
    other = OF_THE_OUTBOX[column](value)  # type: ignore[arg-type]
    engine.sql(f'UPDATE outbox SET "{column}" = ? WHERE order_sn = ? AND version = 1', other, of)
    named = other if column == "order_sn" else of
    says = "has no order" if column == "order_sn" else "in the outbox: "
    for found in await faults(engine.store, now):
        assert found.keys() == {named}
        assert says in found[str(named)]


async def test_the_relay_holds_no_event_back_for_as_long_as_that(store: Store) -> None:
    await added(store)
    (event,) = await store.outbox.take(1, NOW_MS)
    for _ in range(12):
        await store.outbox.refused([event.id], NOW_MS)
    assert await store.outbox.take(1, NOW_MS + MAX_HELD_MS // 2) == [event]
    assert await faults(store) == ({}, {})
