"""Tombstones: numbers that no order may take any more."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain import tombstone
from shop_order.domain.errors import RateLimited, UnreadableRow
from shop_order.domain.ports import Standing
from shop_order.repository.dao.engine.base import Session
from shop_order.repository.dao.loading import standings
from shop_order.repository.dao.mapping import insert, marks
from shop_order.repository.dao.placing import INTO_CLAIM, TOMBSTONE

INTO_TOMBSTONE = "INSERT INTO order_sn_tombstone (order_sn, created_ms) VALUES"
PLANTED_SINCE = "SELECT count(*) FROM order_sn_tombstone WHERE created_ms > ?"
TOMBSTONES_OVER = (
    "SELECT order_sn FROM order_sn_tombstone WHERE created_ms <= ? ORDER BY created_ms, order_sn LIMIT 500"
)


async def unless_stored(
    session: Session, order_sns: Sequence[str], now_ms: int
) -> dict[str, Standing | UnreadableRow | None]:
    """Take these numbers for tombstones; where those stand that were stored meanwhile. Raises RateLimited."""
    taken = await plant(session, order_sns, now_ms)
    found = await standings(session, taken)
    # A number and its order are stored in one commit: if only the number is left, the order was removed.
    removed = {sn: UnreadableRow(sn, "its order was removed") for sn in taken if sn not in found}
    return {sn: found.get(sn) or removed.get(sn) for sn in order_sns}


async def plant(session: Session, order_sns: Sequence[str], now_ms: int) -> list[str]:
    """Take these numbers for tombstones; those that belong to orders. Raises RateLimited.

    A few more than the bound may come in when several instances plant at once.
    """
    unless_there = session.dialect.unless_there
    sql = f"SELECT order_sn, order_id FROM order_sn_claim WHERE order_sn IN ({marks(len(order_sns))})"
    claimed = {str(sn): order_id for sn, order_id in await session.all(sql, order_sns)}
    if new := [sn for sn in order_sns if sn not in claimed]:
        (planted,) = await session.first(PLANTED_SINCE, (now_ms - tombstone.MINUTE_MS,)) or (0,)
        if planted + len(new) > tombstone.MOST_A_MINUTE:
            raise RateLimited(tombstone.MINUTE_MS / 1000)
        # An order of another process may be faster: its claim stays, and is seen below.
        await insert(session, INTO_CLAIM, [(sn, TOMBSTONE, now_ms) for sn in new], unless_there)
        claimed = {str(sn): order_id for sn, order_id in await session.all(sql, order_sns)}
        planted_now = [sn for sn in new if claimed.get(sn) == TOMBSTONE]
        await insert(session, INTO_TOMBSTONE, [(sn, now_ms) for sn in planted_now], unless_there)
    return [sn for sn, order_id in claimed.items() if order_id != TOMBSTONE]


async def purge(session: Session, before_ms: int) -> int:
    """Delete some of those planted up to then; how many."""
    over = [sn for (sn,) in await session.all(TOMBSTONES_OVER, (before_ms,))]
    if over:
        numbers = marks(len(over))
        await session.run(
            f"DELETE FROM order_sn_claim WHERE order_sn IN ({numbers}) AND order_id = ?", [*over, TOMBSTONE]
        )
        await session.run(f"DELETE FROM order_sn_tombstone WHERE order_sn IN ({numbers})", over)
    return len(over)
