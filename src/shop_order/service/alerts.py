"""Alerts for the operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import Clock

REPEAT_MS = 1_800_000
MAX_ROWS = 1000  # that are reported per half hour


class Alert(Protocol):
    """Alerts the operator: a person has to act."""

    def __call__(self, name: str, **about: object) -> None: ...


@dataclass(eq=False)
class UnreadableRowAlerts:
    """Alerts once per half hour for each skipped row, however often it is read.

    Such a row was written by another program or a newer version.
    """

    alert: Alert
    real_clock: Clock
    _reported_ms: dict[str, int] = field(default_factory=dict, init=False)

    def report(self, row: UnreadableRow) -> None:
        """Report a row that was skipped."""
        now_ms = self.real_clock()
        if now_ms - self._reported_ms.get(row.number, -REPEAT_MS) < REPEAT_MS:
            return
        self._reported_ms.pop(row.number, None)
        if len(self._reported_ms) >= MAX_ROWS:
            oldest = next(iter(self._reported_ms))
            if now_ms - self._reported_ms[oldest] < REPEAT_MS:
                return
            del self._reported_ms[oldest]
        self._reported_ms[row.number] = now_ms
        self.alert("row_unreadable", number=row.number, error=str(row))
