"""Leases for the processes that share a database, and how MySQL finds the largest event id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Make the table; SQLite, whose file lock leaves one process, has it empty."""
    dialect = op.get_bind().dialect
    collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    op.create_table(
        "job_lease",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("holder", sa.String(120), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate=collation,
    )
    if dialect.name != "sqlite":
        op.create_index("idx_event_id", "order_event", ["id"])


def downgrade() -> None:
    """Drop it."""
    if op.get_bind().dialect.name != "sqlite":
        op.drop_index("idx_event_id", "order_event")
    op.drop_table("job_lease")
