"""What to count of that which should go on by itself, for every SQL engine; each count walks an index."""

from __future__ import annotations

from shop_order.domain.ports import Behind
from shop_order.domain.status import RefundStatus
from shop_order.repository.dao.rows import Row

# An order whose refund is open waits for its end; what the refund's end stores makes it due again.
DUE = f"due_ms <= ? AND refund_status <> {int(RefundStatus.OPEN)}"
BACKLOG = (
    ("order", f"SELECT count(*), min(due_ms) FROM order_info WHERE {DUE}"),
    ("payment", "SELECT count(*), min(expire_ms) FROM payment WHERE ask_ms IS NOT NULL AND expire_ms <= ?"),
    (
        "refund",
        "SELECT count(*), min(created_ms) FROM refund WHERE try_ms IS NOT NULL"
        " AND state IN ('approved', 'sent', 'unknown') AND created_ms <= ?",
    ),
)


def behind(what: str, row: Row | None) -> Behind:
    """One count and its oldest."""
    count, since_ms = row or (0, None)
    return Behind(what, int(count), int(since_ms or 0))
