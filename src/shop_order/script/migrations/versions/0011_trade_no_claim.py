"""The key that allows each of a provider's trade numbers for one payment only, live or archived.

Existing numbers are claimed in the order of payment. Of payments with the same number the first one gets it;
the others are left unchanged and reported.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import drop_table, make_table

revision = "0011"
down_revision: str | None = "0010"

PAGE = 1_000
log = logging.getLogger("shop_order.migrate")


def upgrade() -> None:
    """Create the table, and fill it."""
    make_table(
        "trade_no_claim",
        sa.Column("trade_no", sa.String(100), primary_key=True),
        sa.Column("payment_type", sa.Integer, primary_key=True, autoincrement=False),
        # The account at the provider; empty for payments from before numbers were claimed.
        sa.Column("seller", sa.String(64), primary_key=True),
        sa.Column("payment_sn", sa.String(30), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for table in ("payment_history", "payment"):  # archived payments came first
        _claim(table)


def _claim(table: str) -> None:
    bind = op.get_bind()
    is_file = bind.dialect.name == "sqlite"
    paid = sa.text(
        f"SELECT trade_no, payment_type, payment_sn, paid_ms, order_sn FROM {table}"
        " WHERE trade_no <> '' AND paid_ms >= :ms AND (paid_ms > :ms OR payment_sn > :sn)"
        f" ORDER BY paid_ms, payment_sn LIMIT {PAGE}"
    )
    skip_existing = "ON CONFLICT DO NOTHING" if is_file else "ON DUPLICATE KEY UPDATE created_ms = created_ms"
    claim = sa.text(
        "INSERT INTO trade_no_claim (trade_no, payment_type, seller, payment_sn, created_ms)"
        f" VALUES (:trade_no, :payment_type, '', :payment_sn, :paid_ms) {skip_existing}"
    )
    at: dict[str, Any] = {"ms": 1, "sn": ""}  # 0: not paid
    while page := bind.execute(paid, at).mappings().all():
        bind.execute(claim, [dict(row) for row in page])
        _report(page)
        if not is_file:
            bind.exec_driver_sql("COMMIT")  # TiDB limits the size of a transaction
        at = {"ms": page[-1]["paid_ms"], "sn": page[-1]["payment_sn"]}


def _report(page: Sequence[sa.RowMapping]) -> None:
    held = sa.text("SELECT trade_no, payment_type, payment_sn FROM trade_no_claim WHERE trade_no IN :numbers")
    numbers = {"numbers": sorted({row["trade_no"] for row in page})}
    found = op.get_bind().execute(held.bindparams(sa.bindparam("numbers", expanding=True)), numbers)
    holder = {(row[0], row[1]): row[2] for row in found}
    for row in page:
        first = holder[row["trade_no"], row["payment_type"]]
        if first != row["payment_sn"]:
            log.warning(
                "order %s: payment %s has the provider's number %.64r, which is payment %s's",
                row["order_sn"], row["payment_sn"], row["trade_no"], first,
            )  # fmt: skip


def downgrade() -> None:
    """Drop the table."""
    drop_table("trade_no_claim")
