"""Rows that can't be read: somebody wrote past the service, or a newer version did; the others go on."""

from __future__ import annotations

from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import Clock
from shop_order.service.attempts import Alert

AGAIN_MS = 1_800_000
MOST = 1000  # rows told of in half an hour: that there are more of them is no news


class Unreadables:
    """Tells the operator of each row once in half an hour, however often it is met."""

    def __init__(self, alert: Alert, real_clock: Clock) -> None:
        self._alert = alert
        self._now = real_clock
        self._told_ms: dict[str, int] = {}

    def tell(self, row: UnreadableRow) -> None:
        """It was left out."""
        now_ms = self._now()
        if now_ms - self._told_ms.get(row.number, -AGAIN_MS) < AGAIN_MS:
            return
        self._told_ms.pop(row.number, None)
        if len(self._told_ms) >= MOST:
            longest_ago = next(iter(self._told_ms))
            if now_ms - self._told_ms[longest_ago] < AGAIN_MS:
                return
            del self._told_ms[longest_ago]
        self._told_ms[row.number] = now_ms
        self._alert("row_unreadable", number=row.number, error=str(row))
