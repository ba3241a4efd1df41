"""Why tokens are refused, and how the operator learns of it without a flooded log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

MAX_LINES = 10  # of one reason in a window; all are counted
WINDOW_S = 60.0


OnRefusal = Callable[[str, str], None]  # one of REASONS, and a detail the caller may have written

REASONS = (
    "missing",  # no token at all
    "repeated",  # two headers
    "scheme",  # not Bearer
    "malformed",  # not a token, too long, or in another spelling
    "typ",  # another kind of token
    "header",  # would choose how it is verified
    "algorithm",
    "unknown_key",
    "signature",
    "missing_claim",
    "issuer",
    "audience",
    "claims",  # an impossible sub, role, act_for or time
    "expired",
    "not_yet",
    "lifetime",
    "revoked",
)
"""Why a token was refused; docs/tokens.md says what to do about each."""
_MAX_DETAIL = 64


class TokenRefused(Exception):
    """A token is refused: `why` is one of REASONS, `detail` a few words of the token's, never the token."""

    def __init__(self, why: str, detail: object = "") -> None:
        super().__init__(why)
        self.why = why
        self.detail = str(detail)[:_MAX_DETAIL]


class WarningLog(Protocol):
    """Where the lines go; structlog's loggers fit."""

    def warning(self, msg: str, /, **fields: Any) -> object:
        """A line an operator may want to see."""


class RefusedTokens:
    """An `OnRefusal`: counts every refusal by its reason, and logs the first ones of each minute."""

    def __init__(
        self, log: WarningLog, count: Callable[[str], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._count = count
        self._clock_s = clock_s
        self._windows: dict[str, tuple[float, int]] = {}  # by reason: when it began, how many came since

    def __call__(self, why: str, detail: str) -> None:
        """Count and perhaps log one refusal."""
        self._count(why)
        if why == "missing":  # not logged in yet: no token was refused
            return
        began_s, seen = self._windows.get(why, (self._clock_s(), 0))
        unlogged = 0
        if self._clock_s() - began_s >= WINDOW_S:
            unlogged = max(seen - MAX_LINES, 0)
            began_s, seen = self._clock_s(), 0
        self._windows[why] = (began_s, seen + 1)
        if seen < MAX_LINES:
            self._log.warning("token_refused", reason=why, detail=detail, unlogged=unlogged)
