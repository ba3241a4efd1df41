"""Leases where one process serves: every one is its own."""

from __future__ import annotations

import time

from shop_order.domain.lease import Fence, LeaseLost

ONLY = 1  # the file's lock lets nobody have another number


class OneProcess:
    """See `repository.dao.base.Leases`: the file's lock lets no other process serve it."""

    worker_ends_s = float("inf")

    async def hold(self, name: str) -> bool:
        return True

    def fence(self, name: str) -> Fence:
        return Fence(name, ONLY)

    async def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def worker(self) -> int:
        return 0


def require(fence: Fence) -> None:
    """Raises LeaseLost for a number that nobody has here."""
    if fence.number != ONLY:
        raise LeaseLost(fence)
