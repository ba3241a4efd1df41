"""How long a tombstone must stand, and how many may be planted (architecture, chapter 7).

A tombstone makes the late commit of an order fail whose stock was given back meanwhile. It may go when no
such order can be committed any more: a number is drawn before its stock is reserved, so before anybody can
ask about it, and an order that was not stored MAX_PLACING_MS after its number was drawn is given up at the
commit, by the clock that it began by. A process that freezes between that look and its commit is cut off by
the database. Who plants and who deletes may have different clocks.
"""

from __future__ import annotations

MAX_PLACING_MS = 3_600_000  # the longest deadline of a request and the longest lease that settings allow
FROZEN_COMMIT_MS = 120_000  # twice what MySQL waits for a writer that is silent within a transaction
CLOCKS_APART_MS = 3_600_000
KEEP_MS = MAX_PLACING_MS + FROZEN_COMMIT_MS + CLOCKS_APART_MS
"""So long after it was planted a tombstone stands."""

MAX_NUMBERS = 1000
"""Numbers an owner of leases may ask about at once."""
MAX_PER_MINUTE = 6000
"""Tombstones planted in a minute, by all instances: more than a crash of some of them leaves behind."""
MINUTE_MS = 60_000
