"""The signed daily roots over all hash chains, and SQLite's index of event ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import (
    HASH,
    drop_index,
    drop_table,
    make_append_only,
    make_index,
    make_table,
)

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Create the table; the first root will cover all existing history."""
    make_table(
        "history_root",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("digest", HASH, nullable=False),
        sa.Column("prev_root", HASH, nullable=False),
        sa.Column("root", HASH, nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        clustered=True,
        sqlite_with_rowid=False,
    )
    make_append_only("history_root", "day")
    if (
        op.get_bind().dialect.name == "sqlite"
    ):  # servers have it already; ids grow, so inserts go to the index's last page
        make_index("idx_event_id", "order_event", ["id"])


def downgrade() -> None:
    """Drop the table; new roots can cover only the history that is left."""
    if op.get_bind().dialect.name == "sqlite":
        drop_index("idx_event_id", "order_event")
    drop_table("history_root")
