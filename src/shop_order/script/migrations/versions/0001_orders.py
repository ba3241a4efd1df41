"""The tables of the specification's chapter 2, and ours.

Columns have the names of chapter 2; docs/decisions/tables.md explains the changes.
"""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import (
    HASH,
    ID,
    SN,
    drop_table,
    item_columns,
    make_append_only,
    make_index,
    make_table,
    order_columns,
    payment_columns,
    refund_columns,
    times,
)

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Create all tables and triggers."""
    _cart()
    _orders()
    _history()
    _money()
    _ours()
    make_append_only("order_event", "order_sn", "version")


def _cart() -> None:
    make_table(
        "shopping_cart",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("goods", sa.BigInteger, nullable=False),
        sa.Column("nums", sa.Integer, nullable=False),
        sa.Column("checked", sa.SmallInteger, server_default="1"),
        *times(),
        sa.UniqueConstraint("user", "goods", name="uq_cart_user_goods"),
    )
    make_table(
        "cart_version",
        sa.Column("user", ID, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        clustered=True,
    )


def _orders() -> None:
    make_table(
        "order_info",
        *order_columns(),
        sa.UniqueConstraint("order_sn", name="idx_order_sn"),
        sa.CheckConstraint("status BETWEEN 1 AND 5", name="ck_order_status"),
    )
    make_index("idx_order_user_created", "order_info", ["user", "created_at", "id"])
    make_index("idx_order_user_status", "order_info", ["user", "status", "created_at", "id"])
    make_index("idx_order_created", "order_info", ["created_at", "id"])
    make_index("idx_order_due", "order_info", ["due_ms"])
    make_table("order_goods", *item_columns())
    make_index("idx_order", "order_goods", ["order"])
    make_index("idx_goods", "order_goods", ["goods"])


def _history() -> None:
    make_table(
        "order_event",
        sa.Column("order_sn", sa.String(SN), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("prev_hash", HASH, nullable=False),
        sa.Column("hash", HASH, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    make_table(
        "outbox",
        sa.Column("event_id", ID, primary_key=True, autoincrement=False),
        sa.Column("order_sn", sa.String(SN), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before_ms", sa.BigInteger, nullable=False, server_default="0"),
        # SQLite remembers the largest event id even after its row is deleted: new ids are larger.
        sqlite_autoincrement=True,
    )
    make_index("idx_outbox_order", "outbox", ["order_sn", "version"])
    # Only the few delayed rows, so that a round does not scan a long outbox.
    held = sa.text("not_before_ms > 0")
    make_index("idx_outbox_held", "outbox", ["not_before_ms"], sqlite_where=held)
    make_table(
        "order_sn_claim",
        sa.Column("order_sn", sa.String(SN), primary_key=True),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _money() -> None:
    make_table(
        "payment",
        *payment_columns(),
        sa.CheckConstraint("refunded_fen <= amount_fen", name="ck_payment_refunded"),
        sa.UniqueConstraint("open_order_sn", name="uq_payment_open"),
    )
    make_index("idx_payment_order", "payment", ["order_sn"])
    make_index("idx_payment_ask", "payment", ["ask_ms"])
    make_table(
        "refund",
        *refund_columns(),
        sa.UniqueConstraint("surplus_of", name="uq_refund_surplus"),
    )
    make_index("idx_refund_order", "refund", ["order_sn"])
    make_index("idx_refund_try", "refund", ["try_ms"])


def _ours() -> None:
    make_table(
        "idempotency_key",
        sa.Column("scope", sa.String(40), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("command_hash", HASH, nullable=False),
        sa.Column("order_sn", sa.String(SN), nullable=False),
        sa.Column("payment_sn", sa.String(SN), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        clustered=True,
        sqlite_with_rowid=False,
    )
    make_index("idx_key_created", "idempotency_key", ["created_ms"])
    make_table(
        "shop_time",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("offset_ms", sa.BigInteger, nullable=False),
        clustered=True,
    )
    make_table(
        "config_history",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        clustered=True,
    )


def downgrade() -> None:
    """Drop all tables."""
    for table in (
        "config_history", "shop_time", "idempotency_key", "refund", "payment", "order_sn_claim", "outbox",
        "order_event", "order_goods", "order_info", "cart_version", "shopping_cart",
    ):  # fmt: skip
        drop_table(table)
