"""The signed daily roots over all hash chains, and SQLite's index of event ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import drop_index, drop_table, make_index, make_table, make_trigger

revision = "0007"
down_revision: str | None = "0006"

_HASH = sa.LargeBinary(32)


def upgrade() -> None:
    """Create the table; the first root will cover all existing history."""
    make_table(
        "history_root",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("digest", _HASH, nullable=False),
        sa.Column("prev_root", _HASH, nullable=False),
        sa.Column("root", _HASH, nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        clustered=True,
        sqlite_with_rowid=False,
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name, rest in (_SQLITE_GUARDS if sqlite else _MYSQL_GUARDS).items():
        make_trigger(name, rest)
    if sqlite:  # servers have it already; ids grow, so inserts go to the index's last page
        make_index("idx_event_id", "order_event", ["id"])


_SQLITE_GUARDS = {
    "history_root_no_update": """BEFORE UPDATE ON history_root
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
    "history_root_no_delete": """BEFORE DELETE ON history_root
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
    "history_root_no_second": """BEFORE INSERT ON history_root
    WHEN EXISTS (SELECT 1 FROM history_root WHERE day = NEW.day)
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
}


_MYSQL_GUARDS = {
    "history_root_no_update": """BEFORE UPDATE ON history_root
    FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only'""",
    "history_root_no_delete": """BEFORE DELETE ON history_root
    FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only'""",
}


def downgrade() -> None:
    """Drop the table; new roots can cover only the history that is left."""
    if op.get_bind().dialect.name == "sqlite":
        drop_index("idx_event_id", "order_event")
    drop_table("history_root")
