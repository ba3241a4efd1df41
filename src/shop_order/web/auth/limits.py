"""How often a user may call, and how much may be answered, over both protocols together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shop_order.domain.errors import RateLimited
from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.ratelimit import RateLimiter

CALL_BYTES = 32 * 1024  # of an answer; a larger one counts as more calls
LISTS_AT_ONCE = 2  # of one caller: a list is counted when it is complete, so many at once would be free
LISTS = frozenset({"/order.OrderService/ListOrders", "/shop.order.Order/OrderList", "GET /api/v1/orders"})


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a second and at once; a rate of 0 is no limit."""

    user_rate: int = 20
    user_burst: int = 100
    global_rate: int = 0
    global_burst: int = 0


@dataclass(slots=True)
class _Turns:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTS_AT_ONCE))
    waiting: int = 0


class RateLimits:
    """Limits calls by user and in total; large answers count as several calls."""

    def __init__(self, limiter: RateLimiter, rates: Callable[[], Rates]) -> None:
        """`rates` is asked at every call, since the settings may be reloaded."""
        self._limiter = limiter
        self._rates = rates
        self._turns: dict[str, _Turns] = {}

    async def check(self, actor: Actor | None, *, address: str = "") -> None:
        """Count one call of the user, or of the address if there is no user.

        A service that acts for no user is under the global limit only. Raises RateLimited.
        """
        rates = self._rates()
        if rates.user_rate > 0 and (key := _key(actor, address)):
            # The user's own limit first: whoever exceeds it must not use up the global one.
            await self._take(key, rates.user_rate, rates.user_burst)
        if rates.global_rate > 0:
            await self._take("global", rates.global_rate, rates.global_burst)

    async def charge(self, actor: Actor | None, answered_bytes: int) -> None:
        """Count an answer that is larger than a call's share as more calls."""
        cost = answered_bytes // CALL_BYTES
        if not cost:
            return
        rates = self._rates()
        if rates.user_rate > 0 and (key := _key(actor, "")):
            await self._limiter.charge(key, rates.user_rate, rates.user_burst, cost)
        if rates.global_rate > 0:
            await self._limiter.charge("global", rates.global_rate, rates.global_burst, cost)

    @asynccontextmanager
    async def turn(self, actor: Actor | None) -> AsyncIterator[None]:
        """Wait until few enough lists of this caller are being made; to be taken before `check`."""
        key = _key(actor, "")
        turns = self._turns.setdefault(key, _Turns())
        turns.waiting += 1
        try:
            async with turns.free:
                yield
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._turns[key]

    async def _take(self, key: str, rate: int, burst: int) -> None:
        retry_after_s = await self._limiter.acquire(key, rate, burst)
        if retry_after_s > 0:
            raise RateLimited(retry_after_s)


def _key(actor: Actor | None, address: str) -> str:
    if actor is not None:
        return f"user:{actor.user_id}" if actor.user_id else ""
    return f"address:{address}" if address else ""
