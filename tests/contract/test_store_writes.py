"""A database that takes no writes says so without a buyer, and is well again by itself."""

from __future__ import annotations

import asyncio
import json
from threading import Event
from typing import Any

import pytest

from shop_order.domain.errors import DependencyDown
from shop_order.pkg.log import RateLimitedLog
from shop_order.repository.dao import store as stores
from shop_order.repository.dao.engine import sqlite as trouble
from shop_order.repository.dao.engine.base import Session
from shop_order.repository.dao.engine.sqlite import connect
from tests.contract.engine import NOW_MS, Engine, FileEngine, add, added, order


async def test_a_well_one_takes_what_is_written_for_its_own_sake(engine: Engine) -> None:
    await engine.store.leases.worker_id()
    before = engine.sql("SELECT name, until_ms FROM job_lease")
    for _ in range(3):
        await asyncio.sleep(0.002)  # what is written is the time
        await engine.store.check_writes()
    after = engine.sql("SELECT name, until_ms FROM job_lease")
    assert after != before
    assert len(after) == 1
    assert engine.store.write_error == ""


async def limit(engine: FileEngine, pages: int) -> None:
    """Let the file grow to so many pages and no further; 0: as it is now."""
    writer = engine.store._db.writer

    async def job(session: Session) -> None:
        (now,) = await session.first("PRAGMA page_count") or (0,)
        await session.first(f"PRAGMA max_page_count={pages or now}")

    await writer.submit(job)


async def test_a_full_disk_is_known_from_an_order_and_believed_until_there_is_room(
    file_engine: FileEngine,
) -> None:
    engine = file_engine
    await added(engine.store)
    await engine.store.check_writes()
    await limit(engine, 0)
    with pytest.raises(DependencyDown):
        for _ in range(200):
            await add(engine.store, order(*((n, 1) for n in range(1, 10))))
    assert engine.store.write_error == "SQLITE_FULL"
    for _ in range(3):  # what changes in place still finds room: no order would
        with pytest.raises(DependencyDown):
            await engine.store.check_writes()
        assert engine.store.write_error == "SQLITE_FULL"
    assert (await engine.store.orders.due(NOW_MS, 10)) == []  # it is still read
    await limit(engine, 1_000_000)
    await engine.store.check_writes()
    assert engine.store.write_error == ""
    await added(engine.store)


async def test_a_file_that_became_read_only_is_opened_anew(
    file_engine: FileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a remount: who opened it while it was read-only stays so for good."""
    engine = file_engine
    await added(engine.store)
    worker = engine.store._db.writer

    def read_only(path: Any, *, writes: bool) -> Any:
        conn = connect(path, writes=writes)
        conn.execute("PRAGMA query_only=ON")
        return conn

    with monkeypatch.context() as remounted:
        remounted.setattr("shop_order.repository.dao.engine.sqlite.connect", read_only)
        await worker.submit(lambda session: session.run("PRAGMA query_only=ON"))
        for _ in range(2):
            with pytest.raises(DependencyDown):
                await engine.store.check_writes()
            assert engine.store.write_error == "SQLITE_READONLY"
        assert await engine.store.last_id()
    await engine.store.check_writes()
    assert engine.store.write_error == ""
    await added(engine.store)


async def test_a_disk_that_does_not_answer_is_trouble_until_it_does(
    file_engine: FileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "HANGING_S", 0.1)
    answered = Event()

    async def hang(session: Session) -> None:
        answered.wait(10)

    writing = asyncio.create_task(file_engine.store._db.writer.submit(hang))
    await asyncio.sleep(0.02)
    assert file_engine.store.write_error == ""
    await asyncio.sleep(0.2)
    assert file_engine.store.write_error == "SILENT"
    answered.set()
    await writing
    assert file_engine.store.write_error == ""


async def test_what_an_engine_refuses_is_logged_by_name_and_seldom(
    file_engine: FileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(
        trouble, "log_failure", RateLimitedLog(lambda msg, **about: said.append({"msg": msg, **about}))
    )
    await added(file_engine.store)
    file_engine.sql("ALTER TABLE idempotency_key RENAME TO elsewhere")
    for number in range(50):
        with pytest.raises(DependencyDown) as refused:
            await file_engine.store.orders.key("7:place", f"secret-{number}", NOW_MS)
        assert refused.value.where == str(file_engine.path)
    (line,) = said
    assert (line["msg"], line["code"]) == ("database_failed", "SQLITE_ERROR")
    assert "no such table" in line["error"]
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize("writes", [True, False])
async def test_no_connection_needs_a_folder_for_what_is_temporary(
    file_engine: FileEngine, writes: bool
) -> None:
    conn = connect(file_engine.path, writes=writes)
    assert conn.execute("PRAGMA temp_store").fetchone() == (2,)  # memory
    conn.close()


def test_what_is_said_too_often_is_counted() -> None:
    now, said = [0.0], []
    limited = RateLimitedLog(
        lambda msg, **about: said.append((msg, about)), interval_s=5, monotonic_s=lambda: now[0]
    )
    for kind in ("a", "b", "a", "a"):
        limited("failed", kind=kind, code=kind)
    now[0] = 5.0
    limited("failed", kind="a", code="a")
    assert said == [
        ("failed", {"code": "a"}),
        ("failed", {"code": "b"}),
        ("failed", {"code": "a", "not_logged": 2}),
    ]
