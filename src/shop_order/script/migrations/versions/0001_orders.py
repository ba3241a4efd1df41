"""The tables of the specification's chapter 2, and ours.

Columns have the names of chapter 2; docs/decisions/tables.md explains the changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from shop_order.script.migrations.steps import drop_table, make_index, make_table, make_trigger

revision = "0001"
down_revision: str | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.String(23).with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
_YUAN = sa.Numeric(16, 2)
_SN = 30
_BYTES = sa.LargeBinary()
_HASH = sa.LargeBinary(32)


def upgrade() -> None:
    """Create all tables and triggers."""
    _cart()
    _orders()
    _history()
    _money()
    _ours()
    guards = _SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else _MYSQL_GUARDS
    for name, rest in guards.items():
        make_trigger(name, rest)


def _times() -> list[sa.Column[str]]:
    return [sa.Column(name, _TIME) for name in ("created_at", "updated_at", "deleted_at")]


def _cart() -> None:
    make_table(
        "shopping_cart",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("goods", sa.BigInteger, nullable=False),
        sa.Column("nums", sa.Integer, nullable=False),
        sa.Column("checked", sa.SmallInteger, server_default="1"),
        *_times(),
        sa.UniqueConstraint("user", "goods", name="uq_cart_user_goods"),
    )
    make_table(
        "cart_version",
        sa.Column("user", _ID, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        clustered=True,
    )


def _orders() -> None:
    make_table(
        "order_info",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("pay_type", sa.String(20), nullable=False, server_default=""),
        sa.Column("status", sa.Integer, nullable=False, server_default="1"),
        sa.Column("trade_no", sa.String(100), server_default=""),
        sa.Column("order_mount", _YUAN, sa.Computed("pay_fen / 100.0", persisted=False)),
        sa.Column("pay_time", _TIME),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("signer_name", sa.String(50), nullable=False),
        sa.Column("signer_mobile", sa.String(16), nullable=False),
        sa.Column("post", sa.String(20), server_default=""),
        sa.Column("note", sa.String(255), server_default=""),
        *_times(),
        *(sa.Column(c, sa.String(50), nullable=False) for c in ("province", "city", "district")),
        *(sa.Column(c, sa.BigInteger, nullable=False) for c in ("total_fen", "discount_fen", "freight_fen")),
        sa.Column("pay_fen", sa.BigInteger, sa.CheckConstraint("pay_fen >= 1"), nullable=False),
        sa.Column("expire_ms", sa.BigInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("payment_sn", sa.String(_SN), nullable=False),
        sa.Column("cancel_reason", sa.String(255), nullable=False),
        sa.Column("logistics_company", sa.String(50), nullable=False),
        sa.Column("logistics_no", sa.String(64), nullable=False),
        sa.Column("shipped_ms", sa.BigInteger, nullable=False),
        sa.Column("completed_ms", sa.BigInteger, nullable=False),
        sa.Column("refund_status", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("order_sn", name="idx_order_sn"),
        sa.CheckConstraint("status BETWEEN 1 AND 5", name="ck_order_status"),
    )
    make_index("idx_order_user_created", "order_info", ["user", "created_at", "id"])
    make_index("idx_order_user_status", "order_info", ["user", "status", "created_at", "id"])
    make_index("idx_order_created", "order_info", ["created_at", "id"])
    make_index("idx_order_due", "order_info", ["due_ms"])
    make_table(
        "order_goods",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("order", sa.BigInteger, nullable=False),
        sa.Column("goods", sa.BigInteger, nullable=False),
        sa.Column("goods_name", sa.String(100), nullable=False),
        sa.Column("goods_image", sa.String(255), server_default=""),
        sa.Column("goods_price", _YUAN, sa.Computed("price_fen / 100.0", persisted=False)),
        sa.Column("nums", sa.Integer, sa.CheckConstraint("nums >= 1"), nullable=False),
        *_times(),
        sa.Column("price_fen", sa.BigInteger, sa.CheckConstraint("price_fen >= 0"), nullable=False),
    )
    make_index("idx_order", "order_goods", ["order"])
    make_index("idx_goods", "order_goods", ["goods"])


def _history() -> None:
    make_table(
        "order_event",
        sa.Column("order_sn", sa.String(_SN), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("payload", _BYTES, nullable=False),
        sa.Column("prev_hash", _HASH, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    make_table(
        "outbox",
        sa.Column("event_id", _ID, primary_key=True, autoincrement=False),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
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
        sa.Column("order_sn", sa.String(_SN), primary_key=True),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _money() -> None:
    make_table(
        "payment",
        sa.Column("payment_sn", sa.String(_SN), primary_key=True),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("payment_type", sa.Integer, nullable=False),
        sa.Column("trade_type", sa.String(20), nullable=False),
        sa.Column("amount_fen", sa.BigInteger, sa.CheckConstraint("amount_fen >= 1"), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("payment_url", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expire_ms", sa.BigInteger, nullable=False),
        sa.Column("trade_no", sa.String(100), nullable=False),
        sa.Column("paid_ms", sa.BigInteger, nullable=False),
        sa.Column("refunded_fen", sa.BigInteger, nullable=False),
        # The order's number while the payment is open: its key allows one open payment per order.
        sa.Column("open_order_sn", sa.String(_SN)),
        sa.Column("ask_ms", sa.BigInteger),
        sa.Column("ask_tries", sa.Integer, nullable=False, server_default="0"),
        sa.CheckConstraint("refunded_fen <= amount_fen", name="ck_payment_refunded"),
        sa.UniqueConstraint("open_order_sn", name="uq_payment_open"),
    )
    make_index("idx_payment_order", "payment", ["order_sn"])
    make_index("idx_payment_ask", "payment", ["ask_ms"])
    make_table(
        "refund",
        sa.Column("refund_sn", sa.String(_SN), primary_key=True),
        sa.Column("payment_sn", sa.String(_SN), nullable=False),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("amount_fen", sa.BigInteger, sa.CheckConstraint("amount_fen >= 1"), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.Column("surplus", sa.SmallInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger, nullable=False),
        # The payment's number if it is surplus: its key allows one such refund per payment.
        sa.Column("surplus_of", sa.String(_SN)),
        sa.Column("try_ms", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("surplus_of", name="uq_refund_surplus"),
    )
    make_index("idx_refund_order", "refund", ["order_sn"])
    make_index("idx_refund_try", "refund", ["try_ms"])


def _ours() -> None:
    make_table(
        "idempotency_key",
        sa.Column("scope", sa.String(40), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("command_hash", _HASH, nullable=False),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("payment_sn", sa.String(_SN), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        clustered=True,
        sqlite_with_rowid=False,
    )
    make_index("idx_key_created", "idempotency_key", ["created_ms"])
    make_table(
        "shop_time",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("offset_ms", sa.BigInteger, nullable=False),
        clustered=True,
    )
    make_table(
        "config_history",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        clustered=True,
    )


# REPLACE deletes without the DELETE trigger unless recursive_triggers is on; the third one works without it.
_SQLITE_GUARDS = {
    "order_event_no_update": """BEFORE UPDATE ON order_event
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
    "order_event_no_delete": """BEFORE DELETE ON order_event
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
    "order_event_no_second": """BEFORE INSERT ON order_event
    WHEN EXISTS (SELECT 1 FROM order_event WHERE order_sn = NEW.order_sn AND version = NEW.version)
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
}


_MYSQL_GUARDS = {
    "order_event_no_update": """BEFORE UPDATE ON order_event
    FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only'""",
    "order_event_no_delete": """BEFORE DELETE ON order_event
    FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only'""",
}


def downgrade() -> None:
    """Drop all tables."""
    for table in (
        "config_history", "shop_time", "idempotency_key", "refund", "payment", "order_sn_claim", "outbox",
        "order_event", "order_goods", "order_info", "cart_version", "shopping_cart",
    ):  # fmt: skip
        drop_table(table)
