"""The order log in a SQLite file of its own: the embedded engine."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from shop_order.domain.order_log import Backfill, Figures, LogEntry, LogUpdate, OrderSummary, new_backfill_id
from shop_order.repository.dao.engine.base import SQLITE, insertions, marks
from shop_order.repository.dao.engine.sqlite import database_down, is_file_error
from shop_order.repository.dao.rows import column_count
from shop_order.repository.oplog import NAME

T = TypeVar("T")
LOG_COLUMNS = (
    "id, order_sn, version, user_id, action, old_status, new_status, operator, operator_id, reason,"
    " timestamp_ms, details"
)
STATS_COLUMNS = (
    "order_sn, version, user_id, day, status, channel, payment_sn, pay_fen, paid_fen, refunded_fen"
)
INSERT_LOG = f"INSERT INTO order_logs ({LOG_COLUMNS}) VALUES"
INSERT_STATS = f"INSERT INTO order_stats ({STATS_COLUMNS}) VALUES"
UPDATE_STATS = (
    f"UPDATE order_stats SET ({STATS_COLUMNS}) = ({marks(column_count(STATS_COLUMNS))})"
    " WHERE order_sn = ? AND version = ?"
)
FIGURES = (
    "SELECT day, channel, status, count(*), sum(pay_fen), sum(paid_fen), sum(refunded_fen) FROM order_stats"
    " WHERE day BETWEEN ? AND ? GROUP BY day, channel, status ORDER BY day, channel, status"
)
MAX_NUMBERS = 500  # in one statement; old versions of SQLite allow 999 variables
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


class SqliteOrderLog:
    """See `domain.ports.OrderLog`: one thread, one connection, every call a transaction."""

    durable_after_s = 0.0  # a commit is on the disk

    def __init__(self, path: Path) -> None:
        self._path = path
        self._conn: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="order-log")

    async def summaries(self, order_sns: Collection[str]) -> Mapping[str, OrderSummary]:
        return await self._run(lambda conn: summaries(conn, list(order_sns)))

    async def append(self, updates: Sequence[LogUpdate]) -> Collection[str]:
        return await self._run(lambda conn: append(conn, updates))

    async def entries(self, order_sn: str, limit: int) -> Sequence[LogEntry]:
        sql = f"SELECT {LOG_COLUMNS} FROM order_logs WHERE order_sn = ? ORDER BY version LIMIT ?"
        return await self._run(lambda conn: [entry_of(row) for row in conn.execute(sql, (order_sn, limit))])

    async def figures(self, first_day: str, last_day: str) -> Sequence[Figures]:
        return await self._run(
            lambda conn: [Figures(*row) for row in conn.execute(FIGURES, (first_day, last_day))]
        )

    async def backfill(self) -> Backfill:
        row = await self._run(lambda conn: conn.execute("SELECT mark FROM log_mark").fetchone())
        run, _, position = (row[0] if row else "").rpartition("/")
        return Backfill(run, position)

    async def advance_backfill(self, since: Backfill, position: str) -> None:
        first = "INSERT INTO log_mark VALUES (1, ?) ON CONFLICT DO NOTHING"
        move = "UPDATE log_mark SET mark = ? WHERE mark = ?"
        new = mark_text(Backfill(since.run, position))
        if since == Backfill():
            await self._run(lambda conn: conn.execute(first, (new,)))
        else:
            await self._run(lambda conn: conn.execute(move, (new, mark_text(since))))

    async def purge(self, before_ms: int, limit: int) -> int:
        sql = (
            "DELETE FROM order_logs WHERE id IN"
            " (SELECT id FROM order_logs WHERE timestamp_ms < ? ORDER BY timestamp_ms LIMIT ?)"
        )
        return await self._run(lambda conn: conn.execute(sql, (before_ms, limit)).rowcount)

    async def reset_summaries(self, since: Backfill) -> None:
        def job(conn: sqlite3.Connection) -> None:
            row = conn.execute("SELECT mark FROM log_mark").fetchone()
            if (row[0] if row else "") == mark_text(since):
                begin_walk(conn, "order_stats")

        await self._run(job)

    async def clear(self) -> None:
        await self._run(lambda conn: begin_walk(conn, "order_stats", "order_logs"))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, job)

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            conn = self._connection()
            conn.execute("BEGIN IMMEDIATE")
            try:
                result = job(conn)
                conn.execute("COMMIT")
            except BaseException:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise
        except (sqlite3.DatabaseError, OSError) as failed:
            if isinstance(failed, sqlite3.DatabaseError) and not is_file_error(failed):
                raise
            self._disconnect()
            raise database_down(failed, NAME, str(self._path)) from failed
        return result

    def _connection(self) -> sqlite3.Connection:
        if self._conn is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            conn = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            conn.execute("PRAGMA busy_timeout=5000")
            conn.execute("PRAGMA temp_store=MEMORY")  # works on a system without a temporary folder
            conn.execute("PRAGMA journal_mode=WAL")
            conn.execute("PRAGMA synchronous=FULL")
            for statement in TABLES:
                conn.execute(statement)
            self._conn = conn
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            conn, self._conn = self._conn, None
            conn.close()


def summaries(conn: sqlite3.Connection, order_sns: Sequence[str]) -> dict[str, OrderSummary]:
    """Return the facts of known orders."""
    found = {}
    for at in range(0, len(order_sns), MAX_NUMBERS):
        some = order_sns[at : at + MAX_NUMBERS]
        sql = f"SELECT {STATS_COLUMNS} FROM order_stats WHERE order_sn IN ({marks(len(some))})"
        found.update({row[0]: OrderSummary(*row) for row in conn.execute(sql, some)})
    return found


def append(conn: sqlite3.Connection, updates: Sequence[LogUpdate]) -> set[str]:
    """Insert entries, then facts; return the orders whose facts were updated."""
    insert(conn, INSERT_LOG, [log_row(entry) for one in updates for entry in one.entries])
    new = [one.summary for one in updates if not one.since]
    stored = set()
    if insert(conn, INSERT_STATS, [stats_row(f) for f in new]) == len(new):
        stored = {f.order_sn for f in new}
    for one in updates:
        if one.since:
            values = (*stats_row(one.summary), one.summary.order_sn, one.since)
            if conn.execute(UPDATE_STATS, values).rowcount:
                stored.add(one.summary.order_sn)
    return stored


def insert(conn: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]]) -> int:
    """Insert new rows; return how many were inserted."""
    statements = insertions(into, rows, SQLITE.skip_existing, SQLITE.max_rows)
    return sum(conn.execute(sql, values).rowcount for sql, values in statements)


def begin_walk(conn: sqlite3.Connection, *tables: str) -> None:
    """Begin a new walk, and empty these tables."""
    for table in ("log_mark", *tables):
        conn.execute(f"DELETE FROM {table}")
    conn.execute("INSERT INTO log_mark VALUES (1, ?)", (mark_text(Backfill(new_backfill_id())),))


def mark_text(progress: Backfill) -> str:
    """Return the mark as its column's text."""
    return f"{progress.run}/{progress.position}" if progress.run else progress.position


def log_row(e: LogEntry) -> tuple[object, ...]:
    """Return the values of LOG_COLUMNS."""
    details = json.dumps(e.details, ensure_ascii=False, separators=(",", ":"))
    return (
        e.id, e.order_sn, e.version, e.user_id, e.action, e.old_status, e.new_status, e.operator,
        e.operator_id, e.reason, e.at_ms, details,
    )  # fmt: skip


def entry_of(row: Sequence[Any]) -> LogEntry:
    """Return the entry of a row of LOG_COLUMNS."""
    values = [*row[:-1], json.loads(row[-1])]
    return LogEntry(*values)


def stats_row(f: OrderSummary) -> tuple[object, ...]:
    """Return the values of STATS_COLUMNS."""
    return (
        f.order_sn, f.version, f.user_id, f.day, f.status, f.channel, f.payment_sn, f.pay_fen, f.paid_fen,
        f.refunded_fen,
    )  # fmt: skip
