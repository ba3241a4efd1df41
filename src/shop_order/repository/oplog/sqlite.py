"""The order log in a SQLite file of its own: the embedded engine."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from shop_order.domain.order_log import Backfill, Figures, LogEntry, LogUpdate, OrderSummary, new_backfill_id
from shop_order.repository.dao.engine.base import Session, StoreOptions, insert, marks
from shop_order.repository.dao.engine.columns import Column, Columns
from shop_order.repository.dao.engine.sqlite import SqliteExecutor
from shop_order.repository.oplog import NAME


def _json(details: Mapping[str, object]) -> str:
    return json.dumps(details, ensure_ascii=False, separators=(",", ":"))


ENTRY = Columns(
    Column("id"),
    Column("order_sn"),
    Column("version"),
    Column("user_id"),
    Column("action"),
    Column("old_status"),
    Column("new_status"),
    Column("operator"),
    Column("operator_id"),
    Column("reason"),
    Column("timestamp_ms", "at_ms"),
    Column("details", write=_json, read=json.loads),
)
SUMMARY = Columns(*(Column(field.name) for field in fields(OrderSummary)))
INSERT_ENTRY = f"INSERT INTO order_logs ({ENTRY.select}) VALUES"
INSERT_SUMMARY = f"INSERT INTO order_stats ({SUMMARY.select}) VALUES"
UPDATE_SUMMARY = (
    f"UPDATE order_stats SET ({SUMMARY.select}) = ({marks(len(SUMMARY.names))})"
    " WHERE order_sn = ? AND version = ?"
)
FIGURES = (
    "SELECT day, channel, status, count(*), sum(pay_fen), sum(paid_fen), sum(refunded_fen) FROM order_stats"
    " WHERE day BETWEEN ? AND ? GROUP BY day, channel, status ORDER BY day, channel, status"
)
MARK = "SELECT mark FROM log_mark"
TABLES = (
    """CREATE TABLE IF NOT EXISTS order_logs (
        id INTEGER PRIMARY KEY, order_sn TEXT NOT NULL, version INTEGER NOT NULL, user_id INTEGER NOT NULL,
        action TEXT NOT NULL, old_status INTEGER NOT NULL, new_status INTEGER NOT NULL,
        operator TEXT NOT NULL, operator_id INTEGER NOT NULL, reason TEXT NOT NULL,
        timestamp_ms INTEGER NOT NULL, details TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS idx_logs_order ON order_logs (order_sn, version)",
    "CREATE INDEX IF NOT EXISTS idx_logs_timestamp ON order_logs (timestamp_ms)",
    """CREATE TABLE IF NOT EXISTS order_stats (
        order_sn TEXT PRIMARY KEY, version INTEGER NOT NULL, user_id INTEGER NOT NULL, day TEXT NOT NULL,
        status INTEGER NOT NULL, channel TEXT NOT NULL, payment_sn TEXT NOT NULL, pay_fen INTEGER NOT NULL,
        paid_fen INTEGER NOT NULL, refunded_fen INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idx_stats_day ON order_stats (day, channel, status)",
    "CREATE TABLE IF NOT EXISTS log_mark (id INTEGER PRIMARY KEY CHECK (id = 1), mark TEXT NOT NULL)",
)

entry_of = ENTRY.reader(LogEntry)
summary_of = SUMMARY.reader(OrderSummary)


class SqliteOrderLog:
    """See `domain.ports.OrderLog`."""

    durable_after_s = 0.0  # a commit is on the disk

    def __init__(self, path: Path) -> None:
        options = StoreOptions()
        self._file = SqliteExecutor(
            path, options, writes=True, max_batch=options.batch, database=NAME, prepare=TABLES
        )

    async def summaries(self, order_sns: Collection[str]) -> Mapping[str, OrderSummary]:
        async def job(session: Session) -> Mapping[str, OrderSummary]:
            condition, values = session.dialect.in_list("order_sn", order_sns)
            found = await session.all(f"SELECT {SUMMARY.select} FROM order_stats WHERE {condition}", values)
            return {row[0]: summary_of(row) for row in found}

        return await self._file.submit(job)

    async def append(self, updates: Sequence[LogUpdate]) -> Collection[str]:
        return await self._file.submit(lambda session: append(session, updates))

    async def entries(self, order_sn: str, limit: int) -> Sequence[LogEntry]:
        sql = f"SELECT {ENTRY.select} FROM order_logs WHERE order_sn = ? ORDER BY version LIMIT ?"
        return [entry_of(row) for row in await self._file.all(sql, (order_sn, limit))]

    async def figures(self, first_day: str, last_day: str) -> Sequence[Figures]:
        return [Figures(*row) for row in await self._file.all(FIGURES, (first_day, last_day))]

    async def backfill(self) -> Backfill:
        (mark,) = await self._file.first(MARK) or ("",)
        run, _, position = mark.rpartition("/")
        return Backfill(run, position)

    async def advance_backfill(self, since: Backfill, position: str) -> None:
        new = stored_text(Backfill(since.run, position))
        if since == Backfill():
            await self._file.run("INSERT INTO log_mark VALUES (1, ?) ON CONFLICT DO NOTHING", (new,))
        else:
            await self._file.run("UPDATE log_mark SET mark = ? WHERE mark = ?", (new, stored_text(since)))

    async def purge(self, before_ms: int, limit: int) -> int:
        sql = (
            "DELETE FROM order_logs WHERE id IN"
            " (SELECT id FROM order_logs WHERE timestamp_ms < ? ORDER BY timestamp_ms LIMIT ?)"
        )
        return await self._file.run(sql, (before_ms, limit))

    async def reset_summaries(self, since: Backfill) -> None:
        async def job(session: Session) -> None:
            (mark,) = await session.first(MARK) or ("",)
            if mark == stored_text(since):
                await begin_backfill(session, "order_stats")

        await self._file.submit(job)

    async def clear(self) -> None:
        await self._file.submit(lambda session: begin_backfill(session, "order_stats", "order_logs"))

    async def close(self) -> None:
        await self._file.close()


async def append(session: Session, updates: Sequence[LogUpdate]) -> set[str]:
    """Insert entries, then summaries; return the orders whose summaries were stored."""
    skip_existing = session.dialect.skip_existing
    entries = [ENTRY.row(entry) for one in updates for entry in one.entries]
    await insert(session, INSERT_ENTRY, entries, skip_existing)
    new = [one.summary for one in updates if not one.since]
    stored = set()
    if await insert(session, INSERT_SUMMARY, [SUMMARY.row(s) for s in new], skip_existing) == len(new):
        stored = {summary.order_sn for summary in new}
    for one in updates:
        if one.since:
            values = (*SUMMARY.row(one.summary), one.summary.order_sn, one.since)
            if await session.run(UPDATE_SUMMARY, values):
                stored.add(one.summary.order_sn)
    return stored


async def begin_backfill(session: Session, *tables: str) -> None:
    """Begin a new backfill, and empty these tables."""
    for table in ("log_mark", *tables):
        await session.run(f"DELETE FROM {table}")
    await session.run("INSERT INTO log_mark VALUES (1, ?)", (stored_text(Backfill(new_backfill_id())),))


def stored_text(progress: Backfill) -> str:
    """Return the progress of a backfill as the text of column `mark`."""
    return f"{progress.run}/{progress.position}" if progress.run else progress.position
