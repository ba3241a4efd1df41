"""The return and cancel URLs of an order, for links of the cashier."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0009"
down_revision: str | None = "0008"

_TABLES = ("order_info", "order_info_history")
_COLUMNS = ("return_url", "cancel_url")


def upgrade() -> None:
    """Add the columns, empty for existing orders."""
    for table in _TABLES:
        for column in _COLUMNS:
            add_column(table, sa.Column(column, sa.String(512), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the columns."""
    for table in _TABLES:
        for column in reversed(_COLUMNS):
            drop_column(table, column)
