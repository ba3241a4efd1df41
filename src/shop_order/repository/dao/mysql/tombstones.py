"""Tombstones in MySQL: numbers that no order may take any more."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain import tombstone
from shop_order.domain.errors import RateLimited
from shop_order.repository.dao import rows
from shop_order.repository.dao.mysql.placing import UNLESS_THERE, insert
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.placing import (
    INTO_CLAIM,
    INTO_TOMBSTONE,
    PLANTED_SINCE,
    TOMBSTONE,
    TOMBSTONES_OVER,
)


async def plant(session: Session, order_sns: Sequence[str], now_ms: int) -> list[str]:
    """Take these numbers for tombstones; those that belong to orders. Raises RateLimited.

    A few more than the bound may come in when several instances plant at once.
    """
    sql = f"SELECT order_sn, order_id FROM order_sn_claim WHERE order_sn IN ({rows.marks(len(order_sns))})"
    claimed = {str(sn): order_id for sn, order_id in await session.all(sql, order_sns)}
    if new := [sn for sn in order_sns if sn not in claimed]:
        (planted,) = await session.first(PLANTED_SINCE, (now_ms - tombstone.MINUTE_MS,)) or (0,)
        if planted + len(new) > tombstone.MOST_A_MINUTE:
            raise RateLimited(tombstone.MINUTE_MS / 1000)
        # An order of another process may be faster: its claim stays, and is seen below.
        await insert(session, INTO_CLAIM, [(sn, TOMBSTONE, now_ms) for sn in new], UNLESS_THERE)
        claimed = {str(sn): order_id for sn, order_id in await session.all(sql, order_sns)}
        planted_now = [sn for sn in new if claimed.get(sn) == TOMBSTONE]
        await insert(session, INTO_TOMBSTONE, [(sn, now_ms) for sn in planted_now], UNLESS_THERE)
    return [sn for sn, order_id in claimed.items() if order_id != TOMBSTONE]


async def purge(session: Session, before_ms: int) -> int:
    """Delete some of those planted up to then; how many."""
    over = [sn for (sn,) in await session.all(TOMBSTONES_OVER, (before_ms,))]
    if over:
        marks = rows.marks(len(over))
        await session.run(
            f"DELETE FROM order_sn_claim WHERE order_sn IN ({marks}) AND order_id = ?", [*over, TOMBSTONE]
        )
        await session.run(f"DELETE FROM order_sn_tombstone WHERE order_sn IN ({marks})", over)
    return len(over)
