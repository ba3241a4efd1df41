"""The clock of the shop: real time plus an offset, which operators may advance in `dev` and `test`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

MAX_ADVANCE_S = 366 * 86_400


class OffsetStore(Protocol):
    """The store of the offset."""

    async def offset_ms(self) -> int:
        """The offset from real time, in ms."""

    async def advance(self, by_ms: int) -> int:
        """Advance by `by_ms`. Return the new offset."""


class ShopClock:
    """Calling it returns the shop's time in epoch ms."""

    def __init__(self, time: OffsetStore, real_clock: Callable[[], int], *, can_advance: bool) -> None:
        self._time = time
        self._real = real_clock
        self._may_move = can_advance
        self._offset_ms = 0

    def __call__(self) -> int:
        """Epoch milliseconds."""
        return self._real() + self._offset_ms

    async def load(self) -> None:
        """Load the stored offset, which other processes may have advanced. Production has none."""
        if self._may_move:
            self._offset_ms = max(self._offset_ms, await self._time.offset_ms())

    async def advance(self, by_s: int) -> int:
        """Advance by at most `MAX_ADVANCE_S`. Return the new time. Raises ValueError."""
        if not self._may_move or not 0 < by_s <= MAX_ADVANCE_S:
            raise ValueError(f"the clock can't be advanced by {by_s} s")
        self._offset_ms = await self._time.advance(by_s * 1000)
        return self()
