"""Leases for processes that share a database, and MySQL's index of event ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import drop_index, drop_table, make_index, make_table

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Create the table, which SQLite does not need, since its file lock admits one process."""
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
    """Drop the table and the index."""
    if op.get_bind().dialect.name != "sqlite":
        drop_index("idx_event_id", "order_event")
    drop_table("job_lease")
