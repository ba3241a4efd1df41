"""Checks after a run that every answered order exists exactly once, and no others, and that notices pay."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.databases import Database


class CountMismatch(Exception):
    """The database does not match the answers."""


def compare(database: Database, answers: Path, notices: int) -> int:
    """Compare what is stored with the answers; return the number of orders. Raises CountMismatch."""
    answered = Counter(answers.read_text().split())

    def numbers(table: str) -> list[str]:
        return [sn for (sn,) in database.rows(f"SELECT order_sn FROM {table}")]

    stored = numbers("order_info")
    ((lines,),) = database.rows("SELECT count(*) FROM order_goods")
    ((created,),) = database.rows("SELECT count(*) FROM order_event WHERE version = 1")
    ((paid,),) = database.rows("SELECT count(*) FROM order_info WHERE status = 2")
    keys = Counter(numbers("idempotency_key"))
    faults = [
        f"{len(set(answered) - set(stored))} answered orders are missing",
        f"{len(set(stored) - set(answered))} stored orders without an answer",
        f"{sum(n - 1 for n in answered.values())} numbers were answered twice",
        f"{abs(2 * len(stored) - lines)} lines too many or too few",
        f"{abs(len(stored) - created)} first events too many or too few",
        f"{abs(len(stored) - len(set(stored) & set(keys)))} orders without the key of their call",
        f"{abs(notices - paid)} paid orders too many or too few",
    ]
    if wrong := [fault for fault in faults if not fault.startswith("0 ")]:
        raise CountMismatch("; ".join(wrong))
    return len(stored)
