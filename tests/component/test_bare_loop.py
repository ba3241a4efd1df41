"""What `make bench` compares with stores what the service stores."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench import bare
from shop_order.repository.schema import create

TABLES = ("order_sn_claim", "idempotency_key", "order_info", "order_event", "outbox")


@pytest.mark.parametrize("per_commit", [1, 16])
def test_the_bare_loop_stores_every_row_of_an_order(tmp_path: Path, per_commit: int) -> None:
    path = tmp_path / "order.db"
    create(path)
    rate, us = bare.measure_inserts(path, per_commit=per_commit, seconds=0.01)
    assert rate > 0 and us > 0
    with closing(sqlite3.connect(path)) as connection:
        counts = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}
        (items,) = connection.execute("SELECT count(*) FROM order_goods").fetchone()
    assert set(counts.values()) == {counts["order_info"]} and counts["order_info"] > 0
    assert items == 2 * counts["order_info"]
