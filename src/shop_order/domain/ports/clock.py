"""Time, as an argument."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], int]  # epoch milliseconds
