"""What an outage says again at every call is logged once in a while, with how often it was said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

EVERY_S = 5.0
MOST_KINDS = 256


class Rarely:
    """At most one line in `every_s` for each kind; any thread may call it."""

    def __init__(
        self,
        say: Callable[..., None],
        *,
        every_s: float = EVERY_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._every_s = every_s
        self._now_s = monotonic_s
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}  # when it may be said again, and how often it was not

    def __call__(self, msg: str, /, *, kind: str, **fields: Any) -> None:
        """Log `msg` with these fields, unless one of its kind was logged just before."""
        now = self._now_s()
        with self._lock:
            again_s, left_out = self._kinds.get(f"{msg} {kind}", (0.0, 0))
            if now < again_s:
                self._kinds[f"{msg} {kind}"] = (again_s, left_out + 1)
                return
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[f"{msg} {kind}"] = (now + self._every_s, 0)
        self._say(msg, **fields, **({"not_logged": left_out} if left_out else {}))
