"""Tombstones in SQLite: numbers that no order may take any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from shop_order.domain import tombstone
from shop_order.domain.errors import RateLimited
from shop_order.repository.dao import rows
from shop_order.repository.dao.placing import (
    INTO_CLAIM,
    INTO_TOMBSTONE,
    PLANTED_SINCE,
    TOMBSTONE,
    TOMBSTONES_OVER,
)
from shop_order.repository.dao.sqlite.placing import UNLESS_THERE, insert


def plant(conn: sqlite3.Connection, order_sns: Sequence[str], now_ms: int) -> list[str]:
    """Take these numbers for tombstones; those that belong to orders. Raises RateLimited."""
    sql = f"SELECT order_sn, order_id FROM order_sn_claim WHERE order_sn IN ({rows.marks(len(order_sns))})"
    claimed = dict(conn.execute(sql, order_sns).fetchall())
    if new := [sn for sn in order_sns if sn not in claimed]:
        (planted,) = conn.execute(PLANTED_SINCE, (now_ms - tombstone.MINUTE_MS,)).fetchone()
        if planted + len(new) > tombstone.MOST_A_MINUTE:
            raise RateLimited(tombstone.MINUTE_MS / 1000)
        insert(conn, INTO_CLAIM, [(sn, TOMBSTONE, now_ms) for sn in new])
        insert(conn, INTO_TOMBSTONE, [(sn, now_ms) for sn in new], UNLESS_THERE)
    return [sn for sn, order_id in claimed.items() if order_id != TOMBSTONE]


def purge(conn: sqlite3.Connection, before_ms: int) -> int:
    """Delete some of those planted up to then; how many."""
    over = [sn for (sn,) in conn.execute(TOMBSTONES_OVER, (before_ms,))]
    if over:
        marks = rows.marks(len(over))
        conn.execute(
            f"DELETE FROM order_sn_claim WHERE order_sn IN ({marks}) AND order_id = ?", [*over, TOMBSTONE]
        )
        conn.execute(f"DELETE FROM order_sn_tombstone WHERE order_sn IN ({marks})", over)
    return len(over)
