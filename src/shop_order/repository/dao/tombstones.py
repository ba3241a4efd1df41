"""Tombstones: order numbers that no order may take any more."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain import ports
from shop_order.domain.errors import RateLimited, UnreadableRow
from shop_order.domain.ports import OrderStanding
from shop_order.repository.dao.engine.base import Session, insert, marks
from shop_order.repository.dao.loading import find_standings
from shop_order.repository.dao.placing import INSERT_CLAIM, TOMBSTONE

MINUTE_MS = 60_000
INSERT_TOMBSTONE = "INSERT INTO order_sn_tombstone (order_sn, created_ms) VALUES"
PLANTED_SINCE = "SELECT count(*) FROM order_sn_tombstone WHERE created_ms > ?"
EXPIRED_TOMBSTONES = (
    "SELECT order_sn FROM order_sn_tombstone WHERE created_ms <= ? ORDER BY created_ms, order_sn LIMIT 500"
)


async def plant_unless_stored(
    session: Session, order_sns: Sequence[str], now_ms: int
) -> dict[str, OrderStanding | UnreadableRow | None]:
    """Plant tombstones, or return the standing of orders stored meanwhile. Raises RateLimited."""
    taken = await plant(session, order_sns, now_ms)
    found = await find_standings(session, taken)
    # A claim and its order are stored in one commit: a claim without an order means it was removed.
    removed = {sn: UnreadableRow(sn, "its order was removed") for sn in taken if sn not in found}
    return {sn: found.get(sn) or removed.get(sn) for sn in order_sns}


async def plant(session: Session, order_sns: Sequence[str], now_ms: int) -> list[str]:
    """Plant tombstones; return the numbers that belong to orders. Raises RateLimited.

    Instances that plant at the same time may exceed the limit slightly.
    """
    skip_existing = session.dialect.skip_existing
    sql = f"SELECT order_sn, order_id FROM order_sn_claim WHERE order_sn IN ({marks(len(order_sns))})"
    claimed = {str(sn): order_id for sn, order_id in await session.all(sql, order_sns)}
    if new := [sn for sn in order_sns if sn not in claimed]:
        (planted,) = await session.first(PLANTED_SINCE, (now_ms - MINUTE_MS,)) or (0,)
        if planted + len(new) > ports.MAX_TOMBSTONES_PER_MINUTE:
            raise RateLimited(MINUTE_MS / 1000)
        # Another process may claim first: its claim stays, and is read below.
        await insert(session, INSERT_CLAIM, [(sn, TOMBSTONE, now_ms) for sn in new], skip_existing)
        claimed = {str(sn): order_id for sn, order_id in await session.all(sql, order_sns)}
        planted_now = [sn for sn in new if claimed.get(sn) == TOMBSTONE]
        await insert(session, INSERT_TOMBSTONE, [(sn, now_ms) for sn in planted_now], skip_existing)
    return [sn for sn, order_id in claimed.items() if order_id != TOMBSTONE]


async def purge(session: Session, before_ms: int) -> int:
    """Delete up to 500 tombstones planted until `before_ms`; return how many."""
    expired = [sn for (sn,) in await session.all(EXPIRED_TOMBSTONES, (before_ms,))]
    if expired:
        numbers = marks(len(expired))
        await session.run(
            f"DELETE FROM order_sn_claim WHERE order_sn IN ({numbers}) AND order_id = ?",
            [*expired, TOMBSTONE],
        )
        await session.run(f"DELETE FROM order_sn_tombstone WHERE order_sn IN ({numbers})", expired)
    return len(expired)
