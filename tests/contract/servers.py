"""An order database of our own on a MySQL or MariaDB server, emptied for every test."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymysql
import pytest

from shop_order.repository.dao.engine.base import MYSQL_GUARDS
from shop_order.repository.dao.engine.mysql_session import LostConnection, MysqlAddress, MysqlSession
from shop_order.repository.schema import migrate
from shop_order.script.migrations import head
from tests.contract.engine import Engine

MODE = "ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES"
_GUARD = """CREATE TRIGGER {} BEFORE {} ON {}
    FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only'"""


class ServerEngine(Engine):
    """The same, looked at through a connection of our own."""

    @property
    def guards(self) -> frozenset[str]:  # type: ignore[override]
        """TiDB has no triggers."""
        return frozenset() if is_tidb(self.url) else MYSQL_GUARDS

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with connected(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement.replace("%", "%%").replace("?", "%s"), values)
            connection.commit()
            return [tuple(map(plain, row)) for row in cursor.fetchall()]


def plain(value: object) -> object:
    """Exact numbers as SQLite gives them."""
    return float(value) if isinstance(value, Decimal) else value


def connected(url: str) -> Any:
    """A connection that reads what SQLite reads."""
    at = MysqlAddress.of(url)
    return pymysql.connect(
        host=at.host,
        port=at.port,
        user=at.user,
        password=at.password,
        database=at.database or None,
        sql_mode=MODE,
        init_command="SET SESSION lock_wait_timeout = 20",
        ssl_disabled=True,  # a context takes 50 ms, and tests connect for each statement
    )


def cut_commits(monkeypatch: pytest.MonkeyPatch, cut: list[str]) -> None:
    """Break the connection before, or after, the server has the next COMMIT: one for each word in `cut`."""
    commit = MysqlSession.commit

    async def cut_off(self: MysqlSession) -> None:
        if not cut:
            return await commit(self)
        self.committing = True
        if cut.pop() == "after":
            await self.run("COMMIT")
        self.drop()
        raise LostConnection("cut")

    monkeypatch.setattr(MysqlSession, "commit", cut_off)


@cache
def is_tidb(url: str) -> bool:
    """Whether it is TiDB that speaks MySQL's protocol; one that is not up is none."""
    try:
        with connected(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT version()")
            return "TiDB" in cursor.fetchone()[0]
    except pymysql.err.OperationalError:
        return False


def server_engine(server: str, next_id: Callable[[], int]) -> ServerEngine:
    """An empty database on this server; one a test run."""
    url = own_database(server)
    empty(url)
    return ServerEngine(url, next_id)


@cache
def own_database(server: str) -> str:
    """Its URL; made anew, and left for the next run to replace."""
    parts = urlsplit(server)
    url = urlunsplit(parts._replace(path=f"/shop_test_{os.getpid()}"))
    make(server, url)
    return url


def make(server: str, url: str) -> None:
    """Make the database of `url` anew, with all tables."""
    name = MysqlAddress.of(url).database
    with connected(server) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    migrate(url)


def drop(server: str) -> None:
    """Remove it."""
    name = MysqlAddress.of(own_database(server)).database
    with connected(server) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")


def empty(url: str) -> None:
    """Take every row out; what a test did to tables and triggers is mended."""
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = database()")
        names = {name for (name,) in cursor.fetchall()}
        if "alembic_version" not in names or "elsewhere" in names:
            return make(url.replace(MysqlAddress.of(url).database, "shop"), url)
        cursor.execute(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()"
        )
        wanted: frozenset[str] = frozenset() if is_tidb(url) else MYSQL_GUARDS
        missing = wanted - {name for (name,) in cursor.fetchall()}
        cursor.execute("TRUNCATE order_event")
        cursor.execute("TRUNCATE history_root")
        for name in sorted(names - {"order_event", "history_root", "alembic_version"}):
            cursor.execute(f"DELETE FROM {name}")
        cursor.execute("UPDATE alembic_version SET version_num = %s", (head(),))
        for guard in missing:
            table, _, what = guard.rpartition("_no_")
            cursor.execute(_GUARD.format(guard, what.upper(), table))
        connection.commit()
    return None


def described(server: Engine, schema: str) -> dict[str, list[tuple[object, ...]]]:
    """Columns, indexes, checks and triggers of a database, as the server tells them."""
    asked = {
        "columns": "table_name, column_name, column_type, is_nullable, column_default, collation_name,"
        " generation_expression",
        "statistics": "table_name, index_name, non_unique, seq_in_index, column_name",
        "triggers": "trigger_name, event_manipulation, action_timing, action_statement",
        "tables": "table_name, engine, table_collation",
    }
    found = {}
    for view, columns in asked.items():
        at = "trigger_schema" if view == "triggers" else "table_schema"
        rows = server.sql(f"SELECT {columns} FROM information_schema.{view} WHERE {at} = ?", schema)
        found[view] = sorted((row for row in rows if row[0] != "alembic_version"), key=repr)
    sql = "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = ?"
    found["checks"] = sorted(server.sql(sql, schema), key=repr)
    return found
