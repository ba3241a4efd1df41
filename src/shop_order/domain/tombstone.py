"""The lifetime of tombstones, and their limits (architecture, chapter 7).

A tombstone makes the late commit of an order fail whose stock was released meanwhile. It may be deleted when
no such order can be committed any more: a number is drawn before its stock is reserved, hence before anybody
can ask about it, and placing fails at the commit MAX_PLACING_MS after the number was drawn, by the clock of
the placing process. The database ends the transaction of a process that freezes between that check and its
commit. The process that adds a tombstone and the one that deletes it may have different clocks.
"""

from __future__ import annotations

MAX_PLACING_MS = 3_600_000  # the longest request deadline and the longest lease that settings allow
FROZEN_COMMIT_MS = 120_000  # twice MySQL's timeout for an idle transaction
CLOCK_SKEW_MS = 3_600_000
KEEP_MS = MAX_PLACING_MS + FROZEN_COMMIT_MS + CLOCK_SKEW_MS
"""The lifetime of a tombstone."""

MAX_NUMBERS = 1000
"""Order numbers in one check-back request."""
MAX_PER_MINUTE = 6000
"""Tombstones added per minute, by all instances: more than a crash of some of them requires."""
MINUTE_MS = 60_000
