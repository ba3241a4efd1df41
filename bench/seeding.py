"""Creates millions of orders: blocks are expanded inside the database, and indexes are built last.

Only what lists read is created: orders, lines, payments. Without a history, audit and doctor would report
them: use a separate, disposable database.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from shop_order.pkg.ids import OrderNumbers
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.mysql_session import MysqlAddress
from shop_order.repository.schema import migrate

BLOCK = 100_000
USERS = 500_000
HEAVIEST_BUYER = 1  # the user who places one order in a thousand
START_MS = 1_732_320_000_000  # 2024-11-23
SPAN_MS = 2 * 365 * 86_400_000
_TABLES = ("order_info", "order_goods", "payment")
_BLOCK = (
    "CREATE TABLE block_orders (id BIGINT PRIMARY KEY, user BIGINT, sn VARCHAR(30), status INT,"
    " ms BIGINT, at VARCHAR(23))"
)
_INTO_BLOCK = "INSERT INTO block_orders (id, user, sn, status, ms, at) VALUES (?, ?, ?, ?, ?, ?)"
_FROM_BLOCK = (
    "INSERT INTO order_info (id, user, order_sn, pay_type, status, address, signer_name, signer_mobile,"
    " created_at, updated_at, province, city, district, total_fen, discount_fen, freight_fen, pay_fen,"
    " expire_ms, due_ms, payment_sn, cancel_reason, logistics_company, logistics_no, shipped_ms,"
    " completed_ms, refund_status, version)"
    " SELECT id, user, sn, 'alipay', status, '人民路 1 号', '王小明', '+8613800138000', at, at, '上海',"
    " '上海', '浦东', 1000, 0, 0, 1000, ms + 1800000, CASE WHEN status IN (1, 3) THEN 4000000000000 END,"
    " CASE WHEN status IN (2, 3, 4) THEN 'P' || sn ELSE '' END, '', '', '', 0, 0, 0,"
    " CASE WHEN status = 1 THEN 1 ELSE 3 END FROM block_orders",
    'INSERT INTO order_goods (id, "order", goods, goods_name, nums, price_fen)'
    " SELECT id, id, 1 + id % 1000, '蓝色的杯子', 1, 1000 FROM block_orders",
    "INSERT INTO payment (payment_sn, order_sn, user, payment_type, trade_type, amount_fen, state,"
    " payment_url, created_ms, expire_ms, trade_no, paid_ms, refunded_fen)"
    " SELECT 'P' || sn, sn, user, 1, 'page', 1000, 'paid', 'https://pay.example/', ms, ms, 'T' || sn, ms, 0"
    " FROM block_orders WHERE status IN (2, 3, 4)",
)


class Records(Protocol):
    """A connection to either engine; statements use `?`."""

    dialect: str

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, commit, and return its rows."""

    def many(self, sql: str, values: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of the values, and commit."""


class File:
    """An SQLite file."""

    dialect = "sqlite"

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self.run("PRAGMA journal_mode=WAL")
        self.run("PRAGMA synchronous=OFF")
        self.run("PRAGMA cache_size=-200000")

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def many(self, sql: str, values: Sequence[Sequence[Any]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(sql, values)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Server:
    """A MySQL or MariaDB database, created if missing."""

    dialect = "mysql"

    def __init__(self, url: str) -> None:
        import pymysql

        at = MysqlAddress.of(url)
        self._connection = pymysql.connect(
            host=at.host,
            port=at.port,
            user=at.user,
            password=at.password,
            sql_mode="ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES",
            autocommit=True,
        )
        self.run(f'CREATE DATABASE IF NOT EXISTS "{at.database}"')
        self._connection.select_db(at.database)
        self.run("SET SESSION unique_checks = 0")

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql.replace("%", "%%").replace("?", "%s"), tuple(values))
            return list(cursor.fetchall())

    def many(self, sql: str, values: Sequence[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), values)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def connected(url: str) -> Iterator[Records]:
    """A connection to the database of a `DB__URL`."""
    connection = File(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else Server(url)
    with closing(connection):
        yield connection


def make_orders(url: str, orders: int) -> None:
    """Add orders until there are `orders`; existing ones stay."""
    create_tables(url)
    with connected(url) as records:
        (there,) = records.run("SELECT coalesce(max(id), 0) FROM order_info")[0]
        if there >= orders:
            return
        records.run("DROP TABLE IF EXISTS block_orders")
        records.run(_BLOCK)
        indexes = drop_indexes(records)
        started = time.monotonic()
        for number, block in enumerate(blocks(there, orders), start=1):
            records.run("DELETE FROM block_orders")
            records.many(_INTO_BLOCK, block)
            for statement in _FROM_BLOCK:
                records.run(statement)
            if number % 10 == 0:
                _say(f"{there + number * BLOCK:,} orders after {time.monotonic() - started:.0f} s")
        for statement in indexes:
            records.run(statement)
            _say(f"indexes after {time.monotonic() - started:.0f} s")
        records.run("DROP TABLE block_orders")
        for table in _TABLES:
            records.run(f"ANALYZE TABLE {table}" if records.dialect == "mysql" else f"ANALYZE {table}")


def create_tables(url: str) -> None:
    """Create the database if missing, and migrate it."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    with connected(url):
        migrate(url)


def blocks(there: int, orders: int) -> Iterator[list[tuple[Any, ...]]]:
    """Blocks of the missing orders, oldest first, as rows for _INTO_BLOCK."""
    step_ms = SPAN_MS // orders
    rng = random.Random(there)
    now_ms = START_MS
    numbers = OrderNumbers(lambda: now_ms, rng.randrange)
    made: list[tuple[Any, ...]] = []
    for n in range(there, orders):
        now_ms = START_MS + n * step_ms
        user = HEAVIEST_BUYER if n % 1000 == 0 else 2 + rng.randrange(USERS)
        made.append((n + 1, user, numbers.order_sn(), status(n, rng), now_ms, rows.time_text(now_ms)))
        if len(made) == BLOCK:
            yield made
            made = []
    if made:
        yield made


def status(n: int, rng: random.Random) -> int:
    """The status of an order: most are finished, few are unpaid or shipped, hardly any are paid."""
    if n % 10_000 == 17:
        return 1
    if n % 50_000 == 5:
        return 2
    if n % 500 == 23:
        return 3
    return 5 if rng.random() < 0.15 else 4


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def drop_indexes(records: Records) -> list[str]:
    """Drop the indexes, and return the statements that rebuild them."""
    names = ", ".join(f"'{table}'" for table in _TABLES)
    if records.dialect == "sqlite":
        found = records.run(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            f" AND tbl_name IN ({names})"
        )
        for name, _ in found:
            records.run(f"DROP INDEX {name}")
        return [sql for _, sql in found]
    found = records.run(
        "SELECT table_name, index_name, group_concat(concat('\"', column_name, '\"') ORDER BY seq_in_index)"
        f" FROM information_schema.statistics WHERE table_schema = database() AND table_name IN ({names})"
        " AND non_unique = 1 GROUP BY table_name, index_name"
    )
    rebuild = []
    for table in _TABLES:
        own = [(name, columns) for at, name, columns in found if at == table]
        records.run(f"ALTER TABLE {table} " + ", ".join(f"DROP INDEX {name}" for name, _ in own))
        rebuild.append(f"ALTER TABLE {table} " + ", ".join(f"ADD INDEX {name} ({c})" for name, c in own))
    return rebuild
