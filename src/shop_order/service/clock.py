"""The shop's clock: real time, and in `dev` and `test` as far ahead as an operator moved it."""

from __future__ import annotations

from typing import Protocol

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Clock

MAX_ADVANCE_S = 366 * 86_400


class OffsetStore(Protocol):
    """Where the offset is kept."""

    async def offset_ms(self) -> int:
        """Milliseconds ahead of real time."""

    async def advance(self, by_ms: int) -> int:
        """Move forward; returns the new offset."""


class ShopClock:
    """Calling it gives epoch ms as the shop sees them."""

    def __init__(self, time: OffsetStore, real_clock: Clock, *, may_move: bool) -> None:
        self._time = time
        self._real = real_clock
        self._may_move = may_move
        self._offset_ms = 0

    def __call__(self) -> int:
        """Epoch milliseconds."""
        return self._real() + self._offset_ms

    async def load(self) -> None:
        """Take up the offset that is kept, which other processes may have moved on; production has none."""
        if self._may_move:
            self._offset_ms = max(self._offset_ms, await self._time.offset_ms())

    async def advance(self, by_s: int) -> int:
        """Move forward by whole seconds, at most a year at once; the new time. Raises InvalidArgument."""
        if not self._may_move or not 0 < by_s <= MAX_ADVANCE_S:
            raise InvalidArgument("advance_s", "out_of_range", min=1, max=MAX_ADVANCE_S)
        self._offset_ms = await self._time.advance(by_s * 1000)
        return self()
