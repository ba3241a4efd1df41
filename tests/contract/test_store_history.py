"""The history is append-only, and a change behind our back is found; the schema is checked at the start."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.repository.dao.engine.base import GUARDS
from shop_order.repository.dao.engine.sqlite import SqliteSession, run_to_completion
from shop_order.repository.dao.store import SchemaMismatch, Store, StoreInUse, check_schema, open_store
from shop_order.repository.schema import create, migrate
from shop_order.service.upkeep.audit import AuditService, BrokenChain
from shop_order.service.upkeep.doctor import Doctor
from tests.contract.engine import BUYER, NOW_MS, Engine, FileEngine, added, late_clock, opened, paid, sn

COLUMNS = "order_sn, version, id, type, payload, prev_hash, hash, created_ms"
NOTHING = f"x'{bytes(32).hex()}'"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_event SET payload = x'7b7d'",
        "UPDATE OR REPLACE order_event SET version = 9 WHERE version = 1",
        "DELETE FROM order_event",
        f"INSERT OR REPLACE INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event",
        f"REPLACE INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event",
        f"INSERT INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event WHERE true"
        " ON CONFLICT DO UPDATE SET type = 'x'",
    ],
)
@pytest.mark.parametrize("recursive_triggers", ["ON", "OFF"])
async def test_triggers_refuse_to_change_what_happened(
    file_engine: FileEngine, statement: str, recursive_triggers: str
) -> None:
    engine = file_engine
    new = await added(engine.store)
    before = engine.sql("SELECT * FROM order_event")
    connection = sqlite3.connect(engine.path, isolation_level=None)
    connection.execute(f"PRAGMA recursive_triggers={recursive_triggers}")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert engine.sql("SELECT * FROM order_event") == before
    assert await AuditService(engine.store.audit, late_clock).verify(new.order_sn) == (1, [])


async def story(store: Store) -> str:
    """An order with four events."""
    new = await added(store)
    await paid(store, new, await opened(store, new))
    await store.orders.change(new.order_sn, lambda o: o.ship("顺丰", "SF1", BUYER, NOW_MS, auto_confirm_ms=9))
    return new.order_sn


@pytest.mark.parametrize(
    ("tampering", "version", "what"),
    [
        (
            "UPDATE order_event SET payload = x'7b7d' WHERE version = 2",
            2,
            "altered",
        ),
        ("UPDATE order_event SET payload = replace(payload, '2', '3') WHERE version = 2", 2, "altered"),
        ("UPDATE order_event SET payload = 7 WHERE version = 3", 3, "altered"),
        ("UPDATE order_event SET hash = 'x' WHERE version = 4", 4, "altered"),
        ("UPDATE order_event SET created_ms = created_ms + 1 WHERE version = 3", 3, "altered"),
        ("UPDATE order_event SET type = 'order.cancelled' WHERE version = 3", 3, "altered"),
        ("UPDATE order_event SET id = id + 100 WHERE version = 1", 1, "altered"),
        (f"UPDATE order_event SET hash = {NOTHING} WHERE version = 2", 2, "altered"),
        (f"UPDATE order_event SET prev_hash = {NOTHING} WHERE version = 3", 3, "does not follow"),
        ("DELETE FROM order_event WHERE version = 2", 2, "missing"),
        ("DELETE FROM order_event WHERE version = 1", 1, "missing"),
        ("DELETE FROM order_event WHERE version = 4", 4, "missing"),
        ("DELETE FROM order_event", 4, "missing"),
        ("UPDATE order_info SET status = 4", 4, "status is 4, its history says 3"),
        ("UPDATE order_info SET user = 8", 4, "user is 8, its history says 7"),
        ("UPDATE order_info SET version = 5", 5, "missing"),
        ("DELETE FROM order_info", 4, "no order"),
    ],
)
async def test_the_audit_names_the_first_broken_link(
    engine: Engine, tampering: str, version: int, what: str
) -> None:
    order_sn, audit = await story(engine.store), AuditService(engine.store.audit, late_clock)
    assert await audit.verify() == (1, [])
    for guard in engine.guards:
        engine.sql(f"DROP TRIGGER {guard}")
    engine.sql(tampering)
    for walked, broken in (await audit.verify(order_sn), await audit.verify()):
        assert walked == 1
        (link,) = broken
        assert (link.order_sn, link.version) == (order_sn, version)
        assert what in link.what


async def test_of_many_chains_only_the_broken_ones_are_named(engine: Engine) -> None:
    numbers = [await story(engine.store) for _ in range(5)]
    for guard in engine.guards:
        engine.sql(f"DROP TRIGGER {guard}")
    engine.sql("UPDATE order_event SET type = 'x' WHERE order_sn = ? AND version > 1", numbers[3])
    walked, broken = await AuditService(engine.store.audit, late_clock).verify()
    assert (walked, broken) == (5, [BrokenChain(numbers[3], 2, "was altered")])
    assert await engine.store.audit.order_sns(numbers[1], 2) == numbers[2:4]


async def test_a_row_that_can_not_be_read_is_named_and_the_walk_goes_on(engine: Engine) -> None:
    numbers = [await story(engine.store) for _ in range(3)]
    engine.sql("UPDATE order_info SET pay_type = 'shells' WHERE order_sn = ?", numbers[1])
    walked, (broken,) = await AuditService(engine.store.audit, late_clock).verify()
    assert (walked, broken.order_sn, "shells" in broken.what) == (3, numbers[1], True)
    looking = Doctor(audit=engine.store.audit, clock=late_clock, outbox=engine.store.outbox, leases=None)
    report = await looking.examine(lambda _: asyncio.sleep(0))
    assert report.orders == 3
    assert [(f.area, f.order_sn) for f in report.findings] == [("history", numbers[1])]


async def test_an_order_that_moves_while_it_is_looked_at_is_not_broken(store: Store) -> None:
    new = await added(store)
    audit = AuditService(store.audit, late_clock)

    async def moves() -> None:
        for _ in range(10):
            payment = await opened(store, new)
            await store.orders.change(
                new.order_sn,
                partial(Order.close_attempt, payment_sn=payment.payment_sn, actor=BUYER, now_ms=NOW_MS),
            )

    moving = asyncio.create_task(moves())
    seen = set()
    while not moving.done():
        assert await audit.verify(new.order_sn) == (1, [])
        seen.add((await store.orders.get(new.order_sn)).version)
    await moving
    assert len(seen) > 1, "it moved meanwhile"


async def test_of_a_number_without_order_and_events_nothing_is_broken(store: Store) -> None:
    with pytest.raises(OrderNotFound):
        await AuditService(store.audit, late_clock).verify(sn())


# ---- opening ----


async def test_a_second_process_is_refused_and_a_tool_that_only_looks_is_not(file_engine: FileEngine) -> None:
    engine = file_engine
    second = open_store(engine.url, next_id=engine.next_id)
    with pytest.raises(StoreInUse):
        await second.open()
    await second.close()
    tool = open_store(engine.url, next_id=engine.next_id)
    await tool.open(serve=False)
    await tool.ping()
    await tool.close()
    new = await added(engine.store)
    assert (await (await engine.reopen()).orders.get(new.order_sn)).order_sn == new.order_sn


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE alembic_version SET version_num = '0000'",
        "DROP TABLE alembic_version",
        "DROP TRIGGER order_event_no_update",
        "DROP TRIGGER order_event_no_delete",
    ],
)
async def test_a_schema_that_is_not_ours_ends_the_start(engine: Engine, spoil: str) -> None:
    await engine.opened.pop().close()
    engine.sql(spoil)
    with pytest.raises(SchemaMismatch):
        await engine.open()


async def test_without_the_third_guard_a_file_is_not_served(file_engine: FileEngine) -> None:
    await file_engine.opened.pop().close()
    file_engine.sql("DROP TRIGGER order_event_no_second")
    with pytest.raises(SchemaMismatch):
        await file_engine.open()


async def test_migrations_go_up_and_down(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'order.db'}"
    for revision in ("head", "head", "base", "head"):
        migrate(url, revision)
        connection = sqlite3.connect(tmp_path / "new" / "order.db")
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        connection.close()
        assert ("order_info" in names) == (revision == "head")
        assert names >= GUARDS or revision == "base"
    store = open_store(url, next_id=lambda: 1)
    await store.open()
    await added(store)
    await store.close()


def test_a_kill_while_the_tables_are_made_leaves_none_and_the_next_start_makes_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/order.db"
    dying = (
        "import os; from alembic import op; from shop_order.repository.schema import migrate\n"
        "make = op.create_table\n"
        "op.create_table = lambda name, *a, **k: os._exit(9) if name == 'payment' else make(name, *a, **k)\n"
        f"migrate({url!r})"
    )
    assert subprocess.run([sys.executable, "-c", dying], check=False).returncode == 9
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "order.db")) as connection:
        run_to_completion(check_schema(SqliteSession(connection, writes=False)))


def test_two_that_make_the_tables_at_once_agree(tmp_path: Path) -> None:
    code = f"from shop_order.repository.schema import migrate; migrate('sqlite:///{tmp_path}/order.db')"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]


def test_a_new_file_has_what_the_migrations_make(tmp_path: Path) -> None:
    made, migrated = tmp_path / "made.db", tmp_path / "migrated.db"
    migrate(f"sqlite:///{migrated}")
    assert create(made) is True
    assert everything_in(made) == everything_in(migrated), "the migrations changed: make schema"
    assert create(made) is False


def test_a_kill_while_a_new_file_is_made_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "order.db"
    dying = (
        "import os, pathlib; from shop_order.repository import schema\n"
        "statements = list(schema._statements(schema.SQLITE_SCRIPT.read_text()))\n"
        "schema._statements = lambda _: (s if i < 5 else os._exit(9) for i, s in enumerate(statements))\n"
        f"schema.create(pathlib.Path({str(path)!r}))"
    )
    assert subprocess.run([sys.executable, "-c", dying], check=False).returncode == 9
    assert everything_in(path) == []
    assert create(path) is True


def test_two_that_make_a_new_file_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "order.db"
    call = f"create(pathlib.Path({str(path)!r}))"
    code = f"import pathlib; from shop_order.repository.schema import create; {call}"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    with closing(sqlite3.connect(path)) as connection:
        run_to_completion(check_schema(SqliteSession(connection, writes=False)))


def everything_in(path: Path) -> list[tuple[str, ...]]:
    """Every table, index and trigger with its text, and the revision."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall() if rows else []
    return sorted((*row[:3], " ".join((row[3] or "").split())) for row in rows) + revision


async def test_ids_go_on_above_the_largest_order_id(engine: Engine) -> None:
    assert await engine.store.last_id() == 0
    new = await added(engine.store)
    assert await (await engine.reopen()).last_id() >= new.id


async def test_no_event_gets_the_id_of_one_that_is_published_already(engine: Engine) -> None:
    new = await added(engine.store)
    await opened(engine.store, new)  # an id above the order's own
    events = await engine.store.outbox.take(10, NOW_MS)
    await engine.store.outbox.published([event.id for event in events])
    assert await (await engine.reopen()).last_id() >= max(event.id for event in events), (
        "consumers would take a second event of that id for the first"
    )


async def test_no_line_of_a_cart_gets_the_id_of_another(engine: Engine) -> None:
    def fill(cart: Cart) -> None:
        cart.add(1, 1, checked=True, id=10**9, now_ms=NOW_MS)

    await engine.store.carts.change(7, fill)
    assert await (await engine.reopen()).last_id() >= 10**9


# ---- the test clock ----


async def test_the_test_clock_survives_a_restart(engine: Engine) -> None:
    assert await engine.store.time.offset_ms() == 0
    assert await engine.store.time.advance(1000) == 1000
    assert await engine.store.time.advance(500) == 1500
    assert await (await engine.reopen()).time.offset_ms() == 1500
