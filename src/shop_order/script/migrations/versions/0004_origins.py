"""The outbox stores the request of each event, for the consumers' logs and traces."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Add the columns, empty for existing events."""
    add_column("outbox", sa.Column("request_id", sa.String(128), nullable=False, server_default=""))
    add_column("outbox", sa.Column("traceparent", sa.String(55), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the columns, which only logs and traces need."""
    drop_column("outbox", "traceparent")
    drop_column("outbox", "request_id")
