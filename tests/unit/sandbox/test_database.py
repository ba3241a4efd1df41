"""The writer thread: what is answered is committed, and one bad job costs nobody else."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shop_sandbox import database
from shop_sandbox.database import Database, DatabaseBusy

SCHEMA = "CREATE TABLE IF NOT EXISTS number (value INTEGER PRIMARY KEY);"


async def test_a_failed_job_is_undone_alone(tmp_path: Path) -> None:
    opened = Database(tmp_path / "x.db", SCHEMA)
    opened.open()

    def bad(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO number VALUES (100)")
        raise KeyError("bad")

    def good(value: int) -> Callable[[sqlite3.Connection], int]:
        return lambda connection: connection.execute("INSERT INTO number VALUES (?)", (value,)).rowcount

    jobs: list[Awaitable[object]] = [opened.run(good(value)) for value in range(20)]
    jobs.insert(10, opened.run(bad))
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in outcomes].count(KeyError) == 1
    values = await opened.run(lambda c: c.execute("SELECT value FROM number ORDER BY value").fetchall())
    assert [row[0] for row in values] == list(range(20))
    await opened.close()


async def test_what_was_answered_is_there_after_reopening(tmp_path: Path) -> None:
    first = Database(tmp_path / "x.db", SCHEMA)
    first.open()
    await first.run(lambda c: c.execute("INSERT INTO number VALUES (1)").rowcount)
    with sqlite3.connect(tmp_path / "x.db") as other:
        assert other.execute("SELECT value FROM number").fetchall() == [(1,)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert await first.run(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (2,)
    await first.close()
    with pytest.raises(RuntimeError, match="closed"):
        await first.run(lambda c: None)


async def test_a_cancelled_caller_takes_nobody_with_it(tmp_path: Path) -> None:
    opened = Database(tmp_path / "x.db", SCHEMA)
    opened.open()
    gone = asyncio.ensure_future(opened.run(lambda c: c.execute("INSERT INTO number VALUES (1)").rowcount))
    await asyncio.sleep(0)
    gone.cancel()
    assert await opened.run(lambda c: c.execute("SELECT count(*) FROM number").fetchone()) == (1,)
    await opened.close()


async def test_a_full_queue_refuses_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MAX_QUEUED_JOBS", 0)
    opened = Database(tmp_path / "x.db", SCHEMA)
    opened.open()
    with pytest.raises(DatabaseBusy):
        await opened.run(lambda c: None)
    await opened.close()
