"""An index for lists by status alone, which scanned every order for a rare status."""

from __future__ import annotations

from shop_order.script.migrations.steps import drop_index, make_index

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """Create the index in the order of lists, so that cursors can use it."""
    make_index("idx_order_status", "order_info", ["status", "created_at", "id"])


def downgrade() -> None:
    """Drop the index."""
    drop_index("idx_order_status", "order_info")
