"""The feed of the order log: published events stay in it until the log has stored them."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import ID, drop_table, make_table

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Create the table; existing orders need no row, since a new log reads all of them."""
    make_table(
        "log_feed",
        sa.Column("event_id", ID, primary_key=True, autoincrement=False),
        sa.Column("order_sn", sa.String(30), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table; `shop-order stats rebuild` rebuilds the log from the history."""
    drop_table("log_feed")
