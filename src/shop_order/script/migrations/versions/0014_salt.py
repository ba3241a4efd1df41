"""The salt of the hashes of personal texts in an order's history."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column

revision = "0014"
down_revision: str | None = "0013"

_TABLES = ("order_info", "order_info_history")


def upgrade() -> None:
    """Add the column; existing orders have no salt, and no such hashes."""
    for table in _TABLES:
        add_column(table, sa.Column("salt", sa.String(32), nullable=False, server_default=""))


def downgrade() -> None:
    """Keep the column, which earlier versions ignore: a lost salt can't be made again."""
