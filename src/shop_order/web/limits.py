"""How often somebody may call, over both protocols together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shop_order.domain.errors import RateLimited
from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.middleware.ratelimit import RateLimiter


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a second and at once; a rate of 0 is no limit."""

    user_rate: int = 20
    user_burst: int = 100
    global_rate: int = 0
    global_burst: int = 0


class RateLimits:
    """Counts calls by user, and all together."""

    def __init__(self, limiter: RateLimiter, rates: Callable[[], Rates]) -> None:
        """`rates` is asked at every call, since the settings may be reloaded."""
        self._limiter = limiter
        self._rates = rates

    async def check(self, actor: Actor | None, *, address: str = "") -> None:
        """Take one call of who calls: a user, or without one the address, if any.

        A service that acts for nobody (the owners of leases) is under the global limit only.
        Raises RateLimited.
        """
        rates = self._rates()
        if rates.user_rate > 0 and (key := _key(actor, address)):
            # The user's own limit first, so that who is over it uses up nothing of the others'.
            await self._take(key, rates.user_rate, rates.user_burst)
        if rates.global_rate > 0:
            await self._take("global", rates.global_rate, rates.global_burst)

    async def _take(self, key: str, rate: int, burst: int) -> None:
        retry_after_s = await self._limiter.acquire(key, rate, burst)
        if retry_after_s > 0:
            raise RateLimited(retry_after_s)


def _key(actor: Actor | None, address: str) -> str:
    if actor is not None:
        return f"user:{actor.user_id}" if actor.user_id else ""
    return f"address:{address}" if address else ""
