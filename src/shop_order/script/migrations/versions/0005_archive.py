"""The history tables, for old settled orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import (
    drop_table,
    item_columns,
    make_index,
    make_table,
    order_columns,
    payment_columns,
    refund_columns,
    without_rules,
)

revision = "0005"
down_revision: str | None = "0004"

_KEYS = {"order_info": "id", "order_goods": "id", "payment": "payment_sn", "refund": "refund_sn"}


def upgrade() -> None:
    """Create the tables."""
    make_table(
        "order_info_history",
        *without_rules(order_columns()),
        sa.UniqueConstraint("order_sn", name="idx_order_history_sn"),
    )
    make_index("idx_order_history_user", "order_info_history", ["user", "created_at", "id"])
    make_table("order_goods_history", *without_rules(item_columns()))
    make_index("idx_goods_history_order", "order_goods_history", ["order"])
    make_table("payment_history", *without_rules(payment_columns()))
    make_index("idx_payment_history_order", "payment_history", ["order_sn"])
    make_table("refund_history", *without_rules(refund_columns()))
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
