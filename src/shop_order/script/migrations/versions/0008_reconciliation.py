"""The results of reconciliations, and indexes of payments and refunds by time."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import drop_index, drop_table, make_index, make_table

revision = "0008"
down_revision: str | None = "0007"

_INDEXES = {
    "idx_payment_paid": ("payment", ["paid_ms", "payment_sn"]),
    "idx_payment_history_paid": ("payment_history", ["paid_ms", "payment_sn"]),
    "idx_refund_finished": ("refund", ["finished_ms", "refund_sn"]),
    "idx_refund_history_finished": ("refund_history", ["finished_ms", "refund_sn"]),
}


def upgrade() -> None:
    """Create the table and the indexes."""
    for name, (table, columns) in _INDEXES.items():
        make_index(name, table, columns)
    make_table(
        "reconciliation",
        sa.Column("channel", sa.String(20), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        *(
            sa.Column(c, sa.BigInteger, nullable=False)
            for c in (
                "our_trades", "our_paid_fen", "our_refunds", "our_refunded_fen", "bill_trades",
                "bill_paid_fen", "bill_refunds", "bill_refunded_fen", "differences", "settled", "waiting",
            )
        ),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        clustered=True,
        sqlite_with_rowid=False,
    )  # fmt: skip


def downgrade() -> None:
    """Drop the table and the indexes."""
    drop_table("reconciliation")
    for name, (table, _) in _INDEXES.items():
        drop_index(name, table)
