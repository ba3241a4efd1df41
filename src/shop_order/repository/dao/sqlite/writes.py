"""A write for its own sake: whether the file takes any."""

from __future__ import annotations

import sqlite3
import time

NAME = "writes"  # a row beside the leases, which nobody holds here
ROOM = 128 * 1024  # bytes, written twice over: an order must fit, not only what changes in place
_SMALL = (
    "INSERT INTO job_lease (name, holder, until_ms, fence) VALUES (?, '', ?, 0)"
    " ON CONFLICT (name) DO UPDATE SET until_ms = excluded.until_ms, holder = ''"
)
_LARGE = "UPDATE job_lease SET holder = hex(zeroblob(?)) WHERE name = ?"


def small(conn: sqlite3.Connection) -> None:
    """A row that changes in place."""
    conn.execute(_SMALL, (NAME, time.time_ns() // 1_000_000))


def large(conn: sqlite3.Connection) -> None:
    """As much as some orders need; `small` gives it back."""
    conn.execute(_LARGE, (ROOM, NAME))
