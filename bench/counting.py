"""Afterwards: every answered order exists once, and none more than were asked for."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path


class WrongCount(Exception):
    """The database does not hold what the callers were told."""


def compare(database: Path, answers: Path) -> int:
    """How many orders there are, all of them answered once. Raises WrongCount."""
    answered = Counter(answers.read_text().split())
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:

        def numbers(table: str) -> list[str]:
            return [sn for (sn,) in connection.execute(f"SELECT order_sn FROM {table}")]

        stored = numbers("order_info")
        (lines,) = connection.execute("SELECT count(*) FROM order_goods").fetchone()
        created = connection.execute("SELECT count(*) FROM order_event WHERE version = 1").fetchone()[0]
        keys = Counter(numbers("idempotency_key"))
    faults = [
        f"{len(set(answered) - set(stored))} answered orders are missing",
        f"{len(set(stored) - set(answered))} stored orders were never answered",
        f"{sum(n - 1 for n in answered.values())} numbers were answered twice",
        f"{abs(2 * len(stored) - lines)} lines too many or too few",
        f"{abs(len(stored) - created)} first events too many or too few",
        f"{abs(len(stored) - len(set(stored) & set(keys)))} orders without the key of their call",
    ]
    if wrong := [fault for fault in faults if not fault.startswith("0 ")]:
        raise WrongCount("; ".join(wrong))
    return len(stored)
