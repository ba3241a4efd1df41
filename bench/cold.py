"""`python -m bench.cold`: the time of a batch's statements, without COMMIT, on SQLite with a cold page cache.

Each batch uses a new connection; for "cold" the system's page cache is also dropped. A read is a page that
SQLite requested from the system: on a disk with 1 ms per read, a batch waits that many milliseconds.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

from bench.bare import new_orders
from bench.seeding import make_orders
from shop_order.domain.ports import Key
from shop_order.pkg.ids import Snowflakes
from shop_order.pkg.tracing import Origin
from shop_order.repository.dao.changing import Change, change_many
from shop_order.repository.dao.engine.base import Session
from shop_order.repository.dao.engine.sqlite import SqliteSession, connect, run_to_completion
from shop_order.repository.dao.placing import prepare, store_many

BATCH = 16
Batch = Callable[[Session], Awaitable[object]]


def main() -> None:
    """Make the orders, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, default=Path("data"), help="folder of the database, on a real disk"
    )
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=40, help="of each kind")
    chosen = parser.parse_args()
    path = (chosen.dir / "cold.db").resolve()
    make_orders(f"sqlite:///{path}", chosen.orders)
    print(f"{chosen.orders:,} orders, {path.stat().st_size >> 20} MiB, batches of {BATCH}\n")
    print("| | statements p50 / max ms | reads p50 / max | COMMIT p50 / max ms |\n|---|---|---|---|")
    for name, batches in (("new orders", insert_batches()), ("changes, reading", change_batches(path))):
        for kind in ("warm", "cold"):
            print(
                table_row(
                    f"{BATCH} {name}, {kind}",
                    [measure(path, next(batches), kind) for _ in range(chosen.batches)],
                )
            )


def measure(path: Path, batch: Batch, kind: str) -> tuple[float, float, float]:
    """Milliseconds of the statements, pages read, and milliseconds of COMMIT."""
    with closing(connect(path, writes=True)) as connection:
        if kind == "cold":
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            drop_page_cache(path)
        session = SqliteSession(connection, writes=True)
        before, began = read_calls(), time.perf_counter()
        run_to_completion(session.begin())
        run_to_completion(batch(session))  # type: ignore[arg-type] # every job of the store is a coroutine
        done, read = time.perf_counter(), read_calls() - before
        connection.execute("COMMIT")
        return (done - began) * 1000, read, (time.perf_counter() - done) * 1000


def drop_page_cache(path: Path) -> None:
    """Make the system drop the file's pages from memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_calls() -> int:
    """The number of read calls of this process so far."""
    counted = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(counted["syscr"])


def insert_batches() -> Iterator[Batch]:
    """Batches of new orders with keys."""
    ids = Snowflakes(lambda: time.time_ns() // 1_000_000, worker=1)
    orders = new_orders(ids.next_id)
    while True:
        some = [next(orders) for _ in range(BATCH)]
        keys = [Key(f"{order.user}:place", order.order_sn, b"k" * 32, order.created_ms) for order in some]
        news = [
            prepare(o, ids.next_id, None, key, 0, lambda: True) for o, key in zip(some, keys, strict=True)
        ]
        yield lambda session, news=news: store_many(session, news)  # type: ignore[misc]


def change_batches(path: Path) -> Iterator[Batch]:
    """Batches of changes to stored orders that read them and leave them as they are."""
    with closing(connect(path, writes=False)) as connection:
        numbers = [sn for (sn,) in connection.execute("SELECT order_sn FROM order_info WHERE version = 3")]
    while True:
        some = [
            Change(sn, lambda order: None, None, "", Origin(""), lambda: 0)
            for sn in random.sample(numbers, BATCH)
        ]
        yield lambda session, some=some: change_many(session, some)  # type: ignore[misc]


def table_row(name: str, figures: list[tuple[float, float, float]]) -> str:
    """A row of the table."""
    columns = [(statistics.median(column), max(column)) for column in zip(*figures, strict=True)]
    return f"| {name} | " + " | ".join(f"{median:.1f} / {largest:.1f}" for median, largest in columns) + " |"


if __name__ == "__main__":
    main()
