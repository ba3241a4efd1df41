"""Why tokens were refused: for the operator, in so few lines that nobody can flood the log with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

MOST_LINES = 10  # of one reason in a window; all are counted
WINDOW_S = 60.0


class WarningLog(Protocol):
    """Where the lines go; structlog's loggers fit."""

    def warning(self, msg: str, /, **fields: Any) -> object:
        """A line an operator may want to see."""


class RefusedTokens:
    """See `web.auth.Refused`: counts every refusal by its reason, and writes the first of each minute."""

    def __init__(
        self, log: WarningLog, count: Callable[[str], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._count = count
        self._clock_s = clock_s
        self._windows: dict[str, tuple[float, int]] = {}  # by reason: when it began, how many came since

    def __call__(self, why: str, detail: str) -> None:
        """`why` is one of a fixed few; `detail` may be anybody's text, but it is short."""
        self._count(why)
        if why == "missing":  # who is not logged in yet; no token was refused
            return
        began_s, seen = self._windows.get(why, (self._clock_s(), 0))
        unlogged = 0
        if self._clock_s() - began_s >= WINDOW_S:
            unlogged = max(seen - MOST_LINES, 0)
            began_s, seen = self._clock_s(), 0
        self._windows[why] = (began_s, seen + 1)
        if seen < MOST_LINES:
            self._log.warning("token_refused", reason=why, detail=detail, unlogged=unlogged)
