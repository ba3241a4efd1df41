"""Where a buyer goes on from the cashier: an order remembers the shop's two pages."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0009"
down_revision: str | None = "0008"

_TABLES = ("order_info", "order_info_history")
_COLUMNS = ("return_url", "cancel_url")


def upgrade() -> None:
    """Orders that are there have none."""
    for table in _TABLES:
        for column in _COLUMNS:
            add_column(table, sa.Column(column, sa.String(512), nullable=False, server_default=""))


def downgrade() -> None:
    """Only the links of the cashier need them."""
    for table in _TABLES:
        for column in reversed(_COLUMNS):
            drop_column(table, column)
