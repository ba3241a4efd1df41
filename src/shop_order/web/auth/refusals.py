"""Reasons for refusing tokens, and a rate-limited log of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

MAX_LINES = 10  # log lines per reason and window; all refusals are counted
WINDOW_S = 60.0


OnRefusal = Callable[[str, str], None]  # one of REASONS, and a detail that may be the caller's own text

REASONS = (
    "missing",  # no token at all
    "repeated",  # two headers
    "scheme",  # not Bearer
    "malformed",  # not a token, too long, or not canonical base64url
    "typ",  # not an access token
    "header",  # a header that would influence its own verification
    "algorithm",
    "unknown_key",
    "signature",
    "missing_claim",
    "issuer",
    "audience",
    "claims",  # an invalid sub, role, act_for or time
    "expired",
    "not_yet",
    "lifetime",
    "revoked",
)
"""Why a token was refused; docs/tokens.md explains each."""
_MAX_DETAIL = 64


class TokenRefused(Exception):
    """A token was refused. `reason` is one of REASONS; `detail` quotes part of it, never the whole token."""

    def __init__(self, reason: str, detail: object = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = str(detail)[:_MAX_DETAIL]


class WarningLog(Protocol):
    """A logger, such as structlog's."""

    def warning(self, event: str, **fields: Any) -> object:
        """Log a line that an operator may want to see."""


class RefusedTokens:
    """An `OnRefusal` that counts all refusals by reason and logs the first of each minute."""

    def __init__(
        self, log: WarningLog, count: Callable[[str], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._count = count
        self._clock_s = clock_s
        self._windows: dict[str, tuple[float, int]] = {}  # reason -> start of the window, refusals since

    def __call__(self, reason: str, detail: str) -> None:
        """Count one refusal, and log it unless the window has its MAX_LINES."""
        self._count(reason)
        if reason == "missing":  # not signed in yet: no token was refused
            return
        began_s, seen = self._windows.get(reason, (self._clock_s(), 0))
        unlogged = 0
        if self._clock_s() - began_s >= WINDOW_S:
            unlogged = max(seen - MAX_LINES, 0)
            began_s, seen = self._clock_s(), 0
        self._windows[reason] = (began_s, seen + 1)
        if seen < MAX_LINES:
            self._log.warning("token_refused", reason=reason, detail=detail, unlogged=unlogged)
