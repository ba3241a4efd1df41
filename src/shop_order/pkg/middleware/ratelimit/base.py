"""What a rate limiter must do."""

from typing import Protocol

MOST_DEBT_S = 60  # beyond the time in which the burst comes back


class RateLimiter(Protocol):
    """Counts calls by key, such as `user:7` or `global`."""

    async def acquire(self, key: str, rate: int, burst: int) -> float:
        """Takes one call of `burst` at once and `rate` a second; `rate` 0 is no limit.

        Returns 0.0 if the call may go, otherwise the seconds after which it may be tried again.
        """
        ...

    async def charge(self, key: str, rate: int, burst: int, cost: int) -> None:
        """Takes `cost` calls more, also what is not there: the next call waits, at most `MOST_DEBT_S`."""
        ...
