"""Idempotent steps of migrations.

MySQL, MariaDB and TiDB commit each DDL statement by itself: a migration that was killed has done some of its
steps, and does the rest when it is run again. SQLite runs a migration in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.String(23).with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
YUAN = sa.Numeric(16, 2)
HASH = sa.LargeBinary(32)
SN = 30
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


def make_append_only(table: str, *key: str) -> None:
    """Create the triggers that refuse changes of a table with this key, except on TiDB."""
    bind = op.get_bind()
    if is_tidb(bind):
        return
    refuse = "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only'"
    sqlite = bind.dialect.name == "sqlite"
    if sqlite:
        refuse = "BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"
    triggers = {"update": f"BEFORE UPDATE ON {table}", "delete": f"BEFORE DELETE ON {table}"}
    if sqlite:
        # Without recursive_triggers, REPLACE deletes without the DELETE trigger.
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        exists = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"
        triggers["second"] = f"BEFORE INSERT ON {table}\n    {exists}"
    for what, when in triggers.items():
        op.execute(f"DROP TRIGGER IF EXISTS {table}_no_{what}")
        op.execute(f"CREATE TRIGGER {table}_no_{what} {when}\n    {refuse}")


def _indexes(table: str) -> set[str | None]:
    inspector = sa.inspect(op.get_bind())
    return {index["name"] for index in inspector.get_indexes(table)} if inspector.has_table(table) else set()


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


# ---- columns of revision 0001, which 0005 uses too; a new column is a migration of its own ----


def times() -> list[sa.Column[str]]:
    """Return the columns of times, as the specification names them."""
    return [sa.Column(name, TIME) for name in ("created_at", "updated_at", "deleted_at")]


def order_columns() -> list[sa.Column[Any]]:
    """Return the columns of an order."""
    return [
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("order_sn", sa.String(SN), nullable=False),
        sa.Column("pay_type", sa.String(20), nullable=False, server_default=""),
        sa.Column("status", sa.Integer, nullable=False, server_default="1"),
        sa.Column("trade_no", sa.String(100), server_default=""),
        sa.Column("order_mount", YUAN, sa.Computed("pay_fen / 100.0", persisted=False)),
        sa.Column("pay_time", TIME),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("signer_name", sa.String(50), nullable=False),
        sa.Column("signer_mobile", sa.String(16), nullable=False),
        sa.Column("post", sa.String(20), server_default=""),
        sa.Column("note", sa.String(255), server_default=""),
        *times(),
        *(sa.Column(c, sa.String(50), nullable=False) for c in ("province", "city", "district")),
        *(sa.Column(c, sa.BigInteger, nullable=False) for c in ("total_fen", "discount_fen", "freight_fen")),
        sa.Column("pay_fen", sa.BigInteger, sa.CheckConstraint("pay_fen >= 1"), nullable=False),
        sa.Column("expire_ms", sa.BigInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("payment_sn", sa.String(SN), nullable=False),
        sa.Column("cancel_reason", sa.String(255), nullable=False),
        sa.Column("logistics_company", sa.String(50), nullable=False),
        sa.Column("logistics_no", sa.String(64), nullable=False),
        *(sa.Column(c, sa.BigInteger, nullable=False) for c in ("shipped_ms", "completed_ms")),
        sa.Column("refund_status", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    ]


def item_columns() -> list[sa.Column[Any]]:
    """Return the columns of an order's item."""
    return [
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("order", sa.BigInteger, nullable=False),
        sa.Column("goods", sa.BigInteger, nullable=False),
        sa.Column("goods_name", sa.String(100), nullable=False),
        sa.Column("goods_image", sa.String(255), server_default=""),
        sa.Column("goods_price", YUAN, sa.Computed("price_fen / 100.0", persisted=False)),
        sa.Column("nums", sa.Integer, sa.CheckConstraint("nums >= 1"), nullable=False),
        *times(),
        sa.Column("price_fen", sa.BigInteger, sa.CheckConstraint("price_fen >= 0"), nullable=False),
    ]


def payment_columns() -> list[sa.Column[Any]]:
    """Return the columns of a payment."""
    return [
        sa.Column("payment_sn", sa.String(SN), primary_key=True),
        sa.Column("order_sn", sa.String(SN), nullable=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("payment_type", sa.Integer, nullable=False),
        sa.Column("trade_type", sa.String(20), nullable=False),
        sa.Column("amount_fen", sa.BigInteger, sa.CheckConstraint("amount_fen >= 1"), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("payment_url", sa.Text, nullable=False),
        *(sa.Column(c, sa.BigInteger, nullable=False) for c in ("created_ms", "expire_ms")),
        sa.Column("trade_no", sa.String(100), nullable=False),
        *(sa.Column(c, sa.BigInteger, nullable=False) for c in ("paid_ms", "refunded_fen")),
        # The order's number while the payment is open: its key allows one open payment per order.
        sa.Column("open_order_sn", sa.String(SN)),
        sa.Column("ask_ms", sa.BigInteger),
        sa.Column("ask_tries", sa.Integer, nullable=False, server_default="0"),
    ]


def refund_columns() -> list[sa.Column[Any]]:
    """Return the columns of a refund."""
    return [
        sa.Column("refund_sn", sa.String(SN), primary_key=True),
        sa.Column("payment_sn", sa.String(SN), nullable=False),
        sa.Column("order_sn", sa.String(SN), nullable=False),
        sa.Column("amount_fen", sa.BigInteger, sa.CheckConstraint("amount_fen >= 1"), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.Column("surplus", sa.SmallInteger, nullable=False),
        *(sa.Column(c, sa.BigInteger, nullable=False) for c in ("created_ms", "finished_ms")),
        # The payment's number if it is surplus: its key allows one such refund per payment.
        sa.Column("surplus_of", sa.String(SN)),
        sa.Column("try_ms", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    ]


def without_rules(columns: Sequence[sa.Column[Any]]) -> list[sa.Column[Any]]:
    """Return the columns without defaults and checks, for rows that were stored under them."""
    return [
        sa.Column(
            c.name,
            c.type,
            *([sa.Computed(c.computed.sqltext, persisted=False)] if c.computed else []),
            primary_key=c.primary_key,
            nullable=c.nullable,
            autoincrement=False,
        )
        for c in columns
    ]
