"""Orders store the reason code of their cancellation, and show refunds of late payments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from shop_order.script.migrations.steps import add_column, drop_column

revision = "0010"
down_revision: str | None = "0009"

CANCELLED = 5
PAGE = 1000  # orders in one statement
_REFUNDS = {"order_info": "refund", "order_info_history": "refund_history"}


def upgrade() -> None:
    """Add the column, and fill it from the history; set refund states of late payments."""
    for orders, refunds in _REFUNDS.items():
        add_column(orders, sa.Column("cancel_code", sa.String(20), nullable=False, server_default=""))
        _fill(orders, refunds)


def downgrade() -> None:
    """Drop the column, which the history still holds; hide refunds of late payments."""
    for orders, refunds in _REFUNDS.items():
        drop_column(orders, "cancel_code")
        late = f"SELECT order_sn FROM {refunds} WHERE surplus = 1 AND reason = 'LATE_PAYMENT'"
        op.execute(f"UPDATE {orders} SET refund_status = 0 WHERE order_sn IN ({late})")


def _fill(orders: str, refunds: str) -> None:
    """Fill page by page in order of id; a server commits each page. Idempotent."""
    bind = op.get_bind()
    find = sa.text(
        f"SELECT id, order_sn FROM {orders} WHERE status = {CANCELLED} AND id > :after"
        f" ORDER BY id LIMIT {PAGE}"
    )
    write_code = sa.text(f"UPDATE {orders} SET cancel_code = :value WHERE id = :id")
    write_back = sa.text(f"UPDATE {orders} SET refund_status = :value WHERE id = :id")
    after = -1
    while page := bind.execute(find, {"after": after}).all():
        after = page[-1][0]
        numbers = [order_sn for _, order_sn in page]
        for write, values in (
            (write_code, _codes(bind, numbers)),
            (write_back, _late_refund_status(bind, refunds, numbers)),
        ):
            if changed := [{"id": id, "value": values[sn]} for id, sn in page if sn in values]:
                bind.execute(write, changed)
        if bind.dialect.name != "sqlite":
            bind.exec_driver_sql("COMMIT")


def _codes(bind: sa.Connection, order_sns: Sequence[str]) -> dict[str, str]:
    """Return the cancellation codes of these orders, without malformed payloads."""
    found = _select(
        bind, "SELECT order_sn, payload FROM order_event WHERE type = 'order.cancelled'", order_sns
    )
    codes = {}
    for order_sn, payload in found:
        try:
            code = json.loads(payload)["reason"]
        except (ValueError, LookupError, TypeError):
            continue
        if isinstance(code, str) and len(code) <= 20:
            codes[order_sn] = code
    return codes


def _late_refund_status(bind: sa.Connection, refunds_table: str, order_sns: Sequence[str]) -> dict[str, int]:
    """Return the refund status (1 open, 2 complete) of the orders with a late payment."""
    late = f"SELECT order_sn, state FROM {refunds_table} WHERE surplus = 1 AND reason = 'LATE_PAYMENT'"
    statuses: dict[str, int] = {}
    for order_sn, state in _select(bind, late, order_sns):
        statuses[order_sn] = min(statuses.get(order_sn, 2), 2 if state == "succeeded" else 1)
    return statuses


def _select(bind: sa.Connection, select: str, order_sns: Sequence[str]) -> Sequence[Any]:
    these = sa.text(f"{select} AND order_sn IN :these").bindparams(sa.bindparam("these", expanding=True))
    return bind.execute(these, {"these": list(order_sns)}).all()
