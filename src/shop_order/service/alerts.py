"""Alerts for the operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from shop_order.domain.errors import UnreadableRow
from shop_order.domain.ports import Clock

REPEAT_MS = 1_800_000
MAX_ROWS = 1000  # that are reported per half hour
FORGED_WINDOW_MS = 600_000
MANY_FORGED = 50  # notices of a channel within the window


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


@dataclass(eq=False)
class ForgedNoticeAlerts:
    """Alerts when many notices of a channel have wrong signatures, once per window.

    One proves nothing: anybody can send it, and WeChat Pay does on purpose, to see that it is refused.
    """

    alert: Alert
    real_clock: Clock
    _windows: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)  # its start, and how many

    def report(self, channel: str) -> None:
        """Report a notice that was refused."""
        now_ms = self.real_clock()
        began_ms, seen = self._windows.get(channel, (now_ms, 0))
        if now_ms - began_ms >= FORGED_WINDOW_MS:
            began_ms, seen = now_ms, 0
        self._windows[channel] = (began_ms, seen + 1)
        if seen + 1 == MANY_FORGED:
            self.alert(
                "notices_forged", channel=channel, notices=MANY_FORGED, within_s=FORGED_WINDOW_MS // 1000
            )
