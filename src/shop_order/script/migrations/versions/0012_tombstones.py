"""A table of tombstones by age, so that expired ones are found without scanning every claim."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import drop_table, make_index, make_table

revision = "0012"
down_revision: str | None = "0011"

_AT_ONCE = 1000
_TOMBSTONE = 0  # an order id that no order has


def upgrade() -> None:
    """Create the table, and fill it with existing tombstones."""
    make_table(
        "order_sn_tombstone",
        sa.Column("order_sn", sa.String(30), primary_key=True),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    make_index("idx_tombstone_created", "order_sn_tombstone", ["created_ms", "order_sn"])
    _fill()


def downgrade() -> None:
    """Drop the table; existing tombstones then never expire."""
    drop_table("order_sn_tombstone")


def _fill() -> None:
    # Read, then written: INSERT … SELECT would lock every claim in MySQL.
    bind = op.get_bind()
    there = {order_sn for (order_sn,) in bind.execute(sa.text("SELECT order_sn FROM order_sn_tombstone"))}
    existing = sa.text(f"SELECT order_sn, created_ms FROM order_sn_claim WHERE order_id = {_TOMBSTONE}")
    rows = [{"sn": sn, "ms": ms} for sn, ms in bind.execute(existing) if sn not in there]
    insert = sa.text("INSERT INTO order_sn_tombstone (order_sn, created_ms) VALUES (:sn, :ms)")
    for at in range(0, len(rows), _AT_ONCE):
        bind.execute(insert, rows[at : at + _AT_ONCE])
