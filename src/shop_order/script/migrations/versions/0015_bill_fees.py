"""Reconciliations store the fees and discounts of the bill, for the settlement of a day."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0015"
down_revision: str | None = "0014"

_COLUMNS = ("bill_fee_fen", "bill_discount_fen")


def upgrade() -> None:
    """Add the columns; NULL for days that were compared before: their bills' fees are not known."""
    for name in _COLUMNS:
        add_column("reconciliation", sa.Column(name, sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Drop the columns; the next comparison of a day would find them again."""
    for name in reversed(_COLUMNS):
        drop_column("reconciliation", name)
