"""An event that waits to be published remembers whose request made it: for logs and traces of its readers."""

from __future__ import annotations

import sqlalchemy as sa

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Those that wait already came from nobody we know."""
    add_column("outbox", sa.Column("request_id", sa.String(128), nullable=False, server_default=""))
    add_column("outbox", sa.Column("traceparent", sa.String(55), nullable=False, server_default=""))


def downgrade() -> None:
    """Nothing but logs and traces needs them."""
    drop_column("outbox", "traceparent")
    drop_column("outbox", "request_id")
