"""A payment attempt stores why its channel refused it."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    """Add the column."""
    for table in ("payment", "payment_history"):
        add_column(table, sa.Column("close_reason", sa.String(32), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the column, which the history still holds."""
    for table in ("payment", "payment_history"):
        drop_column(table, "close_reason")
