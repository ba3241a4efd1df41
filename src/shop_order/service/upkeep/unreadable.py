"""Alerts about unreadable rows, written by another program or a newer version; they are skipped."""

from __future__ import annotations

from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import Clock
from shop_order.service.attempts import Alert

REPEAT_MS = 1_800_000
MAX_ROWS = 1000  # that are reported per half hour


class UnreadableRowAlerts:
    """Raises one alert per row and half hour, however often the row is met."""

    def __init__(self, alert: Alert, real_clock: Clock) -> None:
        self._alert = alert
        self._now = real_clock
        self._reported_ms: dict[str, int] = {}

    def report(self, row: UnreadableRow) -> None:
        """Report a row that was skipped."""
        now_ms = self._now()
        if now_ms - self._reported_ms.get(row.number, -REPEAT_MS) < REPEAT_MS:
            return
        self._reported_ms.pop(row.number, None)
        if len(self._reported_ms) >= MAX_ROWS:
            oldest = next(iter(self._reported_ms))
            if now_ms - self._reported_ms[oldest] < REPEAT_MS:
                return
            del self._reported_ms[oldest]
        self._reported_ms[row.number] = now_ms
        self._alert("row_unreadable", number=row.number, error=str(row))
