"""Refunds by request: their lines, decisions and parcels, and the number the provider knows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import SN, add_column, drop_column, drop_index, make_index

revision = "0013"
down_revision: str | None = "0012"

_TABLES = {"refund": "payment", "refund_history": "payment_history"}
MAX_LINES = 4000  # 100 lines of a goods id, a quantity and a share


def upgrade() -> None:
    """Add the columns; existing refunds are of surplus payments, and known under their own number."""
    for refunds, payments in _TABLES.items():
        for column in _columns():
            add_column(refunds, column)
        op.execute(
            f"UPDATE {refunds} SET out_refund_no = refund_sn, requested_by = 'SYSTEM',"
            f" user = COALESCE((SELECT p.user FROM {payments} p"
            f" WHERE p.payment_sn = {refunds}.payment_sn), 0)"
            " WHERE out_refund_no = ''"
        )
        op.execute(f"UPDATE {refunds} SET failure = 'REFUSED' WHERE state = 'failed' AND failure = ''")
        make_index(f"idx_{refunds}_user", refunds, ["user", "created_ms", "refund_sn"])
        make_index(f"idx_{refunds}_state", refunds, ["state", "created_ms", "refund_sn"])
        make_index(f"idx_{refunds}_created", refunds, ["created_ms", "refund_sn"])
        make_index(f"idx_{refunds}_out", refunds, ["out_refund_no"])


def downgrade() -> None:
    """Drop the columns."""
    for refunds in _TABLES:
        for index in ("user", "state", "created", "out"):
            drop_index(f"idx_{refunds}_{index}", refunds)
        for column in reversed(_columns()):
            drop_column(refunds, column.name)


def _columns() -> list[sa.Column[Any]]:
    def text(name: str, length: int) -> sa.Column[Any]:
        return sa.Column(name, sa.String(length), nullable=False, server_default="")

    def number(name: str) -> sa.Column[Any]:
        return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")

    return [
        number("user"),
        sa.Column("type", sa.String(20), nullable=False, server_default="refund_only"),
        text("items", MAX_LINES),
        number("freight_fen"),
        text("requested_by", 10),
        sa.Column("approvals", sa.Integer, nullable=False, server_default="0"),
        number("approver"),
        text("decision", 255),
        text("parcel_company", 50),
        text("parcel_no", 64),
        text("failure", 20),
        text("out_refund_no", SN),
    ]
