"""Idempotent steps of migrations.

MySQL, MariaDB and TiDB commit each DDL statement by itself: a migration that was killed has done some of its
steps, and does the rest when it is run again. SQLite runs a migration in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

# TiDB stores rows in the order of a clustered key, and our keys grow with time: every new row would go to the
# last region. So keys are not clustered there, and rows are spread over 16 ranges (decision tidb).
SCATTERED = {"mysql_shard_row_id_bits": "4", "mysql_pre_split_regions": "2"}


def is_tidb(connection: sa.Connection) -> bool:
    """Return whether the server is TiDB."""
    if connection.dialect.name == "sqlite":
        return False
    return "TiDB" in str(connection.exec_driver_sql("SELECT version()").scalar())


def make_table(name: str, *columns: sa.schema.SchemaItem, clustered: bool = False, **options: Any) -> None:
    """Create a table with a binary collation without padding, so that keys `a` and `A` differ.

    `clustered`: TiDB may store the rows in the order of their key, since it does not grow with time, or grows
    by a row a day.
    """
    bind = op.get_bind()
    collation = "utf8mb4_nopad_bin" if getattr(bind.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    if is_tidb(bind):
        op.execute(f"SET SESSION tidb_enable_clustered_index = {'ON' if clustered else 'OFF'}")
        options |= {} if clustered else SCATTERED
    op.create_table(
        name,
        *columns,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate=collation,
        if_not_exists=bind.dialect.name != "sqlite",
        **options,
    )


def drop_table(name: str) -> None:
    """Drop a table with its indexes and triggers."""
    op.drop_table(name, if_exists=True)


def make_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Create a non-unique index."""
    if name not in _indexes(table):
        op.create_index(name, table, list(columns), **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index; its table stays."""
    if name in _indexes(table):
        op.drop_index(name, table)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column to a table that may have rows."""
    if column.name not in _columns(table):
        op.add_column(table, column)


def drop_column(table: str, column: str) -> None:
    """Drop a column with its data."""
    if column in _columns(table):
        op.drop_column(table, column)


def make_trigger(name: str, rest: str) -> None:
    """Create a trigger, except on TiDB; `rest` is the statement after the trigger's name."""
    if not is_tidb(op.get_bind()):
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
        op.execute(f"CREATE TRIGGER {name} {rest}")


def _indexes(table: str) -> set[str | None]:
    inspector = sa.inspect(op.get_bind())
    return {index["name"] for index in inspector.get_indexes(table)} if inspector.has_table(table) else set()


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
