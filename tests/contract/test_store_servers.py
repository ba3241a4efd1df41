"""What only a server has: other processes beside ours, connections that break, triggers of its own kind."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pymysql
import pytest

import shop_order.script
from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown, TooManyUnpaid, TooMuchContention
from shop_order.domain.ports import KeyTaken, OrderFilter
from shop_order.repository.dao.engine import mysql as database
from shop_order.repository.dao.engine import mysql_session as sessions
from shop_order.repository.dao.engine.mysql import OPEN_S
from shop_order.repository.dao.engine.mysql_session import MysqlAddress, MysqlSession
from shop_order.repository.dao.store import SchemaMismatch, Store, open_store
from shop_order.repository.history import open_history
from shop_order.repository.schema import migrate
from shop_order.service.upkeep.audit import AuditService
from tests.contract.engine import BUYER, NOW_MS, Engine, add, added, key, late_clock, opened, order, sn
from tests.contract.servers import connected, cut_commits, described, empty

SCRIPT = Path(str(shop_order.script.__file__)).parent / "mysql" / "schema.sql"
COLUMNS = "order_sn, version, id, type, payload, prev_hash, hash, created_ms"


@asynccontextmanager
async def process(server: Engine) -> AsyncIterator[Store]:
    """Another process that serves the same database."""
    other = open_store(server.url, next_id=server.next_id)
    await other.open()
    try:
        yield other
    finally:
        await other.close()


def kill_all(server: Engine) -> None:
    """The server ends every connection to the database but ours."""
    with connected(server.url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        )
        for (id,) in cursor.fetchall():
            with suppress(pymysql.err.MySQLError):
                cursor.execute(f"KILL {id}")


# ---- the history ----


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_event SET payload = x'7b7d'",
        "UPDATE IGNORE order_event SET version = 9 WHERE version = 1",
        "DELETE FROM order_event",
        "DELETE e FROM order_event e JOIN order_info o ON o.order_sn = e.order_sn",
        f"REPLACE INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event",
        f"INSERT INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event"
        " ON DUPLICATE KEY UPDATE type = 'x'",
        f"INSERT INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event",
        f"INSERT IGNORE INTO order_event ({COLUMNS}) SELECT {COLUMNS} FROM order_event",
    ],
)
async def test_nothing_changes_what_happened(server: Engine, statement: str) -> None:
    new = await added(server.store)
    before = server.sql("SELECT * FROM order_event")
    if "INSERT IGNORE" in statement:
        server.sql(statement)
    else:
        with pytest.raises(pymysql.err.MySQLError, match=r"append-only|Duplicate entry"):
            server.sql(statement)
    assert server.sql("SELECT * FROM order_event") == before
    assert await AuditService(server.store.audit, late_clock).verify(new.order_sn) == (1, [])


async def test_migrations_go_down_and_up_with_data(server: Engine) -> None:
    await added(server.store)
    await server.opened.pop().close()
    migrate(server.url, "base")
    assert server.sql("SHOW TABLES LIKE 'order_info'") == []
    migrate(server.url)
    migrate(server.url)
    await server.open()
    await added(server.store)
    triggers = server.sql(
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()"
    )
    assert {name for (name,) in triggers} == server.guards


async def test_a_database_without_tables_is_not_served(server: Engine) -> None:
    await server.opened.pop().close()
    migrate(server.url, "base")
    with pytest.raises(SchemaMismatch):
        await server.open()
    server.sql("DROP TABLE IF EXISTS alembic_version")
    empty(server.url)


async def test_a_database_that_lost_a_table_is_not_served(server: Engine) -> None:
    await server.opened.pop().close()
    server.sql("DROP TABLE payment_history")
    with pytest.raises(SchemaMismatch, match="payment_history"):
        await server.open()
    server.sql("DROP TABLE alembic_version")
    empty(server.url)


async def test_the_history_of_configurations_is_kept_here_too(server: Engine) -> None:
    with open_history(server.url, writes=True) as records:
        sql = "INSERT INTO config_history (content, digest, source, created_ms) VALUES (?, ?, ?, ?)"
        records.execute(sql, ("a: 100%", "d", "s", 7))
    with open_history(server.url, writes=False) as records:
        found = records.execute("SELECT content FROM config_history WHERE created_ms = ?", (7,)).fetchone()
    assert tuple(found) == ("a: 100%",)


async def test_keys_differ_in_case_and_blanks(server: Engine) -> None:
    for name in ("k", "K", "k ", "ｋ"):
        await add(server.store, order(), key=key(name))
    assert server.count("order_info") == 4


# ---- several processes ----


async def test_of_one_key_in_two_processes_one_order_is_stored(server: Engine) -> None:
    async with process(server) as other:
        got = await asyncio.gather(
            *(add(store, order(), key=key()) for _ in range(10) for store in (server.store, other)),
            return_exceptions=True,
        )
    assert sum(isinstance(one, KeyTaken) for one in got) == 19
    assert server.count("order_info") == 1


async def test_the_limit_on_unpaid_orders_is_exact_over_processes(server: Engine) -> None:
    async with process(server) as other:
        got = await asyncio.gather(
            *(add(store, order(), limit=3) for _ in range(10) for store in (server.store, other)),
            return_exceptions=True,
        )
    assert sum(isinstance(one, TooManyUnpaid) for one in got) == 17
    assert server.count("order_info") == 3


async def test_of_cart_changes_in_two_processes_none_is_lost(server: Engine) -> None:
    def put(id: int) -> object:
        def change(cart: Cart) -> None:
            cart.add(1, 1, checked=True, id=id, now_ms=NOW_MS)

        return change

    async with process(server) as other:
        await asyncio.gather(
            *(
                store.carts.change(user, put(user * 1000 + n * 2 + at))  # type: ignore[arg-type]
                for n in range(20)
                for user in (7, 8)
                for at, store in enumerate((server.store, other))
            )
        )
    for user in (7, 8):
        assert (await server.store.carts.get(user)).lines[1].nums == 40


async def test_changes_of_two_processes_are_decided_on_what_is_stored(server: Engine) -> None:
    new = await added(server.store)

    def cancel(o: Order) -> None:
        o.cancel("", BUYER, NOW_MS, code="BUYER")

    async with process(server) as other:
        got = await asyncio.gather(
            *(store.orders.change(new.order_sn, cancel) for _ in range(5) for store in (server.store, other)),
            return_exceptions=True,
        )
    assert not any(isinstance(one, TooMuchContention) for one in got)
    assert server.count("order_event") == 2
    assert await AuditService(server.store.audit, late_clock).verify(new.order_sn) == (1, [])


async def test_many_orders_of_two_processes_deadlock_for_nobody(server: Engine) -> None:
    async with process(server) as other:
        await asyncio.gather(
            *(
                add(store, order(user=n % 5), limit=1000, key=key(f"{at}-{n}", user=n % 5))
                for n in range(200)
                for at, store in enumerate((server.store, other))
            )
        )
    assert server.count("order_info") == 400


async def test_a_job_is_done_by_one_process_until_it_ends(server: Engine) -> None:
    ours = server.store.leases
    assert await ours.hold("relay")
    async with process(server) as other:
        assert not await other.leases.hold("relay")
        assert await other.leases.hold("timeout")
        assert not await ours.hold("timeout")
        assert await ours.worker_id() != await other.leases.worker_id()
        assert await ours.hold("relay")
    third = await server.reopen()
    assert await third.leases.hold("relay")
    assert await third.leases.hold("timeout")
    assert server.sql("SELECT fence FROM job_lease WHERE name = 'relay'") == [(2,)]


async def test_a_lease_that_ran_out_is_lost(server: Engine) -> None:
    ours = server.store.leases
    assert await ours.hold("relay")
    assert await ours.worker_id() == 0
    assert 0 < ours.worker_id_expires_s - time.monotonic() <= 60
    server.sql("UPDATE job_lease SET until_ms = 1")
    async with process(server) as other:
        assert await other.leases.hold("relay")
        assert await other.leases.worker_id() == 0
        ours._until.clear()  # type: ignore[attr-defined]
        assert not await ours.hold("relay")
        assert await ours.worker_id() == 1


# ---- trouble ----


async def test_after_a_killed_connection_the_next_call_works(server: Engine) -> None:
    new = await added(server.store)
    kill_all(server)
    assert (await server.store.orders.get(new.order_sn)).id == new.id
    await added(server.store)
    assert server.count("order_info") == 2


async def test_a_connection_that_the_server_closed_for_its_silence_costs_no_call(server: Engine) -> None:
    db = server.store._db
    for worker in (db.writer, db.reader, db.scanner):
        await worker.submit(lambda session: session.run("SET SESSION wait_timeout = 1"))
    await asyncio.sleep(2)
    await server.store.carts.change(7, lambda cart: cart.add(1, 1, checked=True, id=1, now_ms=NOW_MS))
    new = await added(server.store)
    assert (await server.store.orders.get(new.order_sn)).id == new.id
    assert len((await server.store.orders.list(OrderFilter(), offset=0, limit=9, after=None)).orders) == 1


async def test_a_process_that_is_frozen_in_a_transaction_does_not_keep_its_rows(
    server: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "IDLE_S", 2)
    new = await added(server.store)
    frozen = await MysqlSession.open(MysqlAddress.of(server.url), writes=True)
    await frozen.all("SELECT id FROM order_info WHERE order_sn = ? FOR UPDATE", (new.order_sn,))
    async with asyncio.timeout(10):
        attempt = await opened(server.store, new)
    assert list((await server.store.orders.get(new.order_sn)).payments) == [attempt.payment_sn]
    frozen.drop()


async def test_connections_that_are_killed_under_load_cost_no_order(server: Engine) -> None:
    stop = asyncio.Event()

    async def killer() -> None:
        while not stop.is_set():
            await asyncio.to_thread(kill_all, server)
            await asyncio.sleep(0.1)

    killing = asyncio.create_task(killer())
    stored: list[Order] = []
    end = time.monotonic() + 30
    for tries in itertools.count():  # some commits have to come through, whoever is quicker
        if tries >= 20 and (stored or time.monotonic() > end):
            break
        many = [order() for _ in range(20)]
        got = await asyncio.gather(*(add(server.store, new) for new in many), return_exceptions=True)
        for new, answer in zip(many, got, strict=True):
            assert isinstance(answer, Order | DependencyDown | TooMuchContention)
            stored += [new] if isinstance(answer, Order) else []
    stop.set()
    await killing
    assert stored
    for new in stored:
        assert (await server.store.orders.get(new.order_sn)).id == new.id
    assert server.count("order_info") == server.count("order_event") == server.count("outbox")


@pytest.fixture
def silent_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Of the next commits, those whose connection breaks: `before` or `after` the server has the COMMIT."""
    cut: list[str] = []
    cut_commits(monkeypatch, cut)
    yield cut
    assert not cut


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_order_whose_commit_has_no_answer_is_stored_once(
    server: Engine, silent_commit: list[str], when: str
) -> None:
    silent_commit.append(when)
    new = await add(server.store, order(), key=key(), limit=5)
    assert (await server.store.orders.get(new.order_sn)).id == new.id
    assert [server.count(t) for t in ("order_info", "order_event", "outbox", "idempotency_key")] == [1] * 4


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_change_whose_commit_has_no_answer_is_decided_once(
    server: Engine, silent_commit: list[str], when: str
) -> None:
    new = await added(server.store)
    silent_commit.append(when)
    await opened(server.store, new)
    found = await server.store.orders.get(new.order_sn)
    assert (found.version, len(found.payments), server.count("order_event")) == (2, 1, 2)


async def test_a_row_that_is_locked_for_long_is_waited_for(server: Engine) -> None:
    new = await added(server.store)
    with connected(server.url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM order_info WHERE order_sn = %s FOR UPDATE", (new.order_sn,))
        waiting = asyncio.create_task(opened(server.store, new))
        await asyncio.sleep(sessions.LOCK_WAIT_S + 1)
        connection.rollback()
    await waiting
    assert (await server.store.orders.get(new.order_sn)).version == 2


async def test_a_server_that_is_not_there_is_down_at_once(server: Engine) -> None:
    at = MysqlAddress.of(server.url)
    for url in (f"mysql://app:app@{at.host}:1/shop", f"mysql://app:wrong@{at.host}:{at.port}/shop"):
        store = open_store(url, next_id=server.next_id)
        with pytest.raises(DependencyDown):
            await store.open()
        with pytest.raises(DependencyDown):
            await store.orders.get(sn())
        await store.close()


async def test_a_server_that_takes_connections_and_says_nothing_is_down(server: Engine) -> None:
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store = open_store(f"mysql://app:app@127.0.0.1:{port}/shop", next_id=server.next_id)
    async with asyncio.timeout(OPEN_S + 2):
        with pytest.raises(DependencyDown):
            await store.open()
    await store.close()
    silent.close()


async def test_a_server_that_hangs_is_given_up_and_comes_back(
    server: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "READ_S", 0.5)
    new = await added(server.store)
    with connected(server.url) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES order_info WRITE")
        with pytest.raises(DependencyDown):
            await server.store.orders.get(new.order_sn)
        cursor.execute("UNLOCK TABLES")
    assert (await server.store.orders.get(new.order_sn)).id == new.id


# ---- the script ----


async def test_the_script_makes_what_the_migrations_make(server: Engine) -> None:
    other = server.url + "_script"
    name = MysqlAddress.of(other).database
    statements = [part for part in SCRIPT.read_text().split(";\n") if part.strip()]
    server.sql(f"CREATE DATABASE {name}")
    try:
        with connected(other) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
        assert described(server, name) == described(server, MysqlAddress.of(server.url).database)
        store = open_store(other, next_id=server.next_id)
        await store.open()
        await added(store)
        await store.close()
    finally:
        server.sql(f"DROP DATABASE {name}")
