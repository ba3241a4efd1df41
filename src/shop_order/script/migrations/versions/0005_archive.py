"""The history tables, for old settled orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from shop_order.script.migrations.steps import drop_table, make_index, make_table

revision = "0005"
down_revision: str | None = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.String(23).with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
_YUAN = sa.Numeric(16, 2)
_SN = 30
_KEYS = {"order_info": "id", "order_goods": "id", "payment": "payment_sn", "refund": "refund_sn"}


def upgrade() -> None:
    """Create the tables."""
    _orders()
    _money()


def _times() -> list[sa.Column[str]]:
    return [sa.Column(name, _TIME) for name in ("created_at", "updated_at", "deleted_at")]


def _orders() -> None:
    make_table(
        "order_info_history",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("pay_type", sa.String(20), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("trade_no", sa.String(100)),
        sa.Column("order_mount", _YUAN, sa.Computed("pay_fen / 100.0", persisted=False)),
        sa.Column("pay_time", _TIME),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("signer_name", sa.String(50), nullable=False),
        sa.Column("signer_mobile", sa.String(16), nullable=False),
        sa.Column("post", sa.String(20)),
        sa.Column("note", sa.String(255)),
        *_times(),
        *(sa.Column(c, sa.String(50), nullable=False) for c in ("province", "city", "district")),
        *(
            sa.Column(c, sa.BigInteger, nullable=False)
            for c in ("total_fen", "discount_fen", "freight_fen", "pay_fen", "expire_ms")
        ),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("payment_sn", sa.String(_SN), nullable=False),
        sa.Column("cancel_reason", sa.String(255), nullable=False),
        sa.Column("logistics_company", sa.String(50), nullable=False),
        sa.Column("logistics_no", sa.String(64), nullable=False),
        sa.Column("shipped_ms", sa.BigInteger, nullable=False),
        sa.Column("completed_ms", sa.BigInteger, nullable=False),
        sa.Column("refund_status", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("order_sn", name="idx_order_history_sn"),
    )
    make_index("idx_order_history_user", "order_info_history", ["user", "created_at", "id"])
    make_table(
        "order_goods_history",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("order", sa.BigInteger, nullable=False),
        sa.Column("goods", sa.BigInteger, nullable=False),
        sa.Column("goods_name", sa.String(100), nullable=False),
        sa.Column("goods_image", sa.String(255)),
        sa.Column("goods_price", _YUAN, sa.Computed("price_fen / 100.0", persisted=False)),
        sa.Column("nums", sa.Integer, nullable=False),
        *_times(),
        sa.Column("price_fen", sa.BigInteger, nullable=False),
    )
    make_index("idx_goods_history_order", "order_goods_history", ["order"])


def _money() -> None:
    make_table(
        "payment_history",
        sa.Column("payment_sn", sa.String(_SN), primary_key=True),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("user", sa.BigInteger, nullable=False),
        sa.Column("payment_type", sa.Integer, nullable=False),
        sa.Column("trade_type", sa.String(20), nullable=False),
        sa.Column("amount_fen", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("payment_url", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expire_ms", sa.BigInteger, nullable=False),
        sa.Column("trade_no", sa.String(100), nullable=False),
        sa.Column("paid_ms", sa.BigInteger, nullable=False),
        sa.Column("refunded_fen", sa.BigInteger, nullable=False),
        sa.Column("open_order_sn", sa.String(_SN)),
        sa.Column("ask_ms", sa.BigInteger),
        sa.Column("ask_tries", sa.Integer, nullable=False),
    )
    make_index("idx_payment_history_order", "payment_history", ["order_sn"])
    make_table(
        "refund_history",
        sa.Column("refund_sn", sa.String(_SN), primary_key=True),
        sa.Column("payment_sn", sa.String(_SN), nullable=False),
        sa.Column("order_sn", sa.String(_SN), nullable=False),
        sa.Column("amount_fen", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.Column("surplus", sa.SmallInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger, nullable=False),
        sa.Column("surplus_of", sa.String(_SN)),
        sa.Column("try_ms", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False),
    )
    make_index("idx_refund_history_order", "refund_history", ["order_sn"])


def downgrade() -> None:
    """Move archived orders back, then drop the tables."""
    bind = op.get_bind()
    there = [table for table in _KEYS if sa.inspect(bind).has_table(f"{table}_history")]
    for table in there:  # skips rows that were moved back before a kill
        key, history = _KEYS[table], f"{table}_history"
        stored = [c["name"] for c in sa.inspect(bind).get_columns(history) if "computed" not in c]
        columns = ", ".join(bind.dialect.identifier_preparer.quote(name) for name in stored)
        op.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {history}"
            f" WHERE {key} NOT IN (SELECT {key} FROM {table})"
        )
    for table in _KEYS:
        drop_table(f"{table}_history")
