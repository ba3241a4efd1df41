"""The feed of the order log: published events wait in it until the log has them for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Orders that are there already need no row: a log that is new walks over all of them."""
    is_mariadb = getattr(op.get_bind().dialect, "is_mariadb", False)
    op.create_table(
        "log_feed",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("order_sn", sa.String(30), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin",
    )


def downgrade() -> None:
    """The log is made anew from the history by `shop-order stats rebuild`."""
    op.drop_table("log_feed")
