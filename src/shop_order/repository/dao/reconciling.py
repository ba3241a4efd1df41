"""What a reconciliation reads and keeps, for every SQL engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import date
from typing import TypeVar

from shop_order.domain.bill import After, Kept, Reconciliation
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.lease import Fence
from shop_order.domain.status import PaymentType
from shop_order.repository.dao.archiving import HISTORY, LIVE, Tables
from shop_order.repository.dao.rows import PAYMENT_COLUMNS, REFUND_COLUMNS, Row, column_count, marks

T = TypeVar("T")
BOTH = (LIVE, HISTORY)
MOST_KEPT = 80  # differences told in a row, which a TEXT has room for; it counts all
_COLUMNS = (
    "channel, day, our_trades, our_paid_fen, our_refunds, our_refunded_fen, bill_trades, bill_paid_fen,"
    " bill_refunds, bill_refunded_fen, differences, settled, waiting, detail, digest, created_ms, fence"
)
KEEP = f"REPLACE INTO reconciliation ({_COLUMNS}) VALUES ({marks(column_count(_COLUMNS))})"
DAYS = "SELECT day, differences, created_ms FROM reconciliation WHERE channel = ? AND day >= ?"
# Who was paid meanwhile has nothing to be asked.
ASK = (
    "UPDATE payment SET ask_ms = ?, ask_tries = 0"
    " WHERE payment_sn = ? AND state NOT IN ('paid', 'part_refunded', 'refunded')"
)
IS_LIVE = "SELECT 1 FROM payment WHERE payment_sn = ?"
ARCHIVED = (
    "SELECT o.order_sn, o.version FROM payment_history p JOIN order_info_history o"
    " ON o.order_sn = p.order_sn WHERE p.payment_sn = ?"
)
_REFUND_COLUMNS = ", ".join(f"r.{column}" for column in REFUND_COLUMNS.split(", "))


def payments(tables: Tables, count: int) -> str:
    """So many attempts by number."""
    return f"SELECT {PAYMENT_COLUMNS} FROM {tables.payments} WHERE payment_sn IN ({marks(count)})"


def refunds(tables: Tables, count: int) -> str:
    """So many refunds by number."""
    return f"SELECT {REFUND_COLUMNS} FROM {tables.refunds} WHERE refund_sn IN ({marks(count)})"


def paid(tables: Tables) -> str:
    """A page of paid attempts; see `window`."""
    return (
        f"SELECT {PAYMENT_COLUMNS} FROM {tables.payments}"
        " WHERE paid_ms >= ? AND paid_ms < ? AND (paid_ms > ? OR payment_sn > ?) AND payment_type = ?"
        " ORDER BY paid_ms, payment_sn LIMIT ?"
    )


def refunded(tables: Tables) -> str:
    """A page of refunds that succeeded; see `window`. Refunds lie beside their payments."""
    return (
        f"SELECT {_REFUND_COLUMNS} FROM {tables.refunds} r"
        f" JOIN {tables.payments} p ON p.payment_sn = r.payment_sn"
        " WHERE r.finished_ms >= ? AND r.finished_ms < ? AND (r.finished_ms > ? OR r.refund_sn > ?)"
        " AND r.state = 'succeeded' AND p.payment_type = ? ORDER BY r.finished_ms, r.refund_sn LIMIT ?"
    )


def window(channel: PaymentType, after: After, before_ms: int, limit: int) -> Row:
    """Values of a page."""
    return (after.at_ms, before_ms, after.at_ms, after.number, int(channel), limit)


def page(found: Sequence[T], key: Callable[[T], tuple[int, str]], limit: int) -> Sequence[T]:
    """The first of both sets of tables, read in one snapshot: an order that moves is in one of them."""
    return sorted(found, key=key)[:limit]


def by_paid(payment: Payment) -> tuple[int, str]:
    """Its place in the walk."""
    return (payment.paid_ms, payment.payment_sn)


def by_finished(refund: Refund) -> tuple[int, str]:
    """Its place in the walk."""
    return (refund.finished_ms, refund.refund_sn)


def named(channel: PaymentType, day: date) -> Row:
    """The key of a result."""
    return (channel.code, day.isoformat())


def kept(result: Reconciliation, fence: Fence) -> Row:
    """Values of KEEP."""
    told = [asdict(one) for one in result.shown[:MOST_KEPT]]
    return (
        *named(result.channel, result.day), *astuple(result.ours), *astuple(result.theirs),
        result.differences, result.settled, result.waiting,
        json.dumps(told, ensure_ascii=False, separators=(",", ":")),
        result.digest, result.created_ms, fence.number,
    )  # fmt: skip


def days_of(rows: Iterable[Row]) -> Mapping[date, Kept]:
    """From DAYS."""
    found = (Kept(date.fromisoformat(day), differences, ms) for day, differences, ms in rows)
    return {one.day: one for one in found}
