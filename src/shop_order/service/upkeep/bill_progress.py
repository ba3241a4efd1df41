"""How far the reconciliation of a large bill is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from shop_order.domain.status import PaymentType


class Step(StrEnum):
    """What a reconciliation is doing."""

    READING = "reading the bill"
    COMPARING = "comparing the bill with our payments"
    SEARCHING = "searching the bill for our payments"
    READING_EARLIER = "reading an earlier bill"


@dataclass(frozen=True, slots=True)
class Progress:
    """How many lines of a step are done, of how many (0: not known yet), and how many per second."""

    channel: PaymentType
    day: date
    step: Step
    done: int
    total: int
    per_s: int


Told = Callable[[Progress], None]


class Pace:
    """Tells of progress, at most once in `every_s`: a small bill is done before the first time.

    The step of reading may call it from another thread.
    """

    def __init__(
        self,
        channel: PaymentType,
        day: date,
        told: Told,
        every_s: float,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._about = (channel, day)
        self._told = told
        self._every_s = every_s
        self._now_s = now_s or time.monotonic
        self._step: Step | None = None
        self._began_s = self._told_s = self._now_s()

    def at(self, step: Step, done: int, total: int = 0) -> None:
        """So many lines of this step are done."""
        now_s = self._now_s()
        if step is not self._step:
            self._step, self._began_s = step, now_s
        if now_s - self._told_s < self._every_s:
            return
        self._told_s = now_s
        per_s = int(done / max(now_s - self._began_s, 0.001))
        self._told(Progress(*self._about, step, done, total, per_s))
