"""The scripts that make the tables at once are those of the migrations: seen without any server."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.resources import files

from shop_order.repository.schema import SQLITE_SCRIPT
from shop_order.script.migrations import head
from tests.baseline.sqlite_schema import migrated_script

TABLE = re.compile(r"^CREATE TABLE `(\w+)` \((.*?)^\)", re.MULTILINE | re.DOTALL)
COLUMN = re.compile(r"^  `(\w+)`", re.MULTILINE)


def test_sqlite_s_script_is_what_the_migrations_make() -> None:
    assert SQLITE_SCRIPT.read_text(encoding="utf-8") == migrated_script(), "run `make schema`"


def test_mysql_s_script_has_the_same_tables_and_columns_and_says_which() -> None:
    script = (files("shop_order.script") / "mysql" / "schema.sql").read_text(encoding="utf-8")
    assert f"at revision {head()}:" in script
    assert f"INSERT INTO alembic_version (version_num) VALUES ('{head()}');" in script
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SQLITE_SCRIPT.read_text(encoding="utf-8"))
        columns = connection.execute(
            "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c"
            " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'"
        ).fetchall()
    there = [(table, column) for table, body in TABLE.findall(script) for column in COLUMN.findall(body)]
    assert sorted(there) == sorted(columns)
