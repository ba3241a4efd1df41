"""Leases for the processes that share a database, and how MySQL finds the largest event id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import drop_index, drop_table, make_index, make_table

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Make the table; SQLite, whose file lock leaves one process, has it empty."""
    make_table(
        "job_lease",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("holder", sa.String(120), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        clustered=True,
    )
    if op.get_bind().dialect.name != "sqlite":
        make_index("idx_event_id", "order_event", ["id"])


def downgrade() -> None:
    """Drop it."""
    if op.get_bind().dialect.name != "sqlite":
        drop_index("idx_event_id", "order_event")
    drop_table("job_lease")
