"""The reference: a bare `sqlite3` loop that only commits the rows of orders.

Rows, statements and schema (with triggers) are the service's own; rows are built outside the measured time.
"""

from __future__ import annotations

import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from shop_order.domain.entity.order import Order
from shop_order.domain.event.order_events import seal
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.domain.valueobject.parties import Actor, PostalAddress, Role
from shop_order.pkg.ids import OrderNumbers, Snowflakes
from shop_order.pkg.tracing import Origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import SQLITE, insertion
from shop_order.repository.dao.engine.sqlite import connect
from shop_order.repository.dao.placing import (
    INSERT_CLAIM,
    INSERT_EVENT,
    INSERT_ITEM,
    INSERT_KEY,
    INSERT_ORDER,
    INSERT_OUTBOX,
)

CHUNK = 1_024
USERS = 200

Step = tuple[str, Sequence[Any]]


def measure_inserts(path: Path, *, per_commit: int, seconds: float) -> tuple[float, float]:
    """Orders per second, and CPU microseconds per order, with `per_commit` orders per commit.

    The database must exist and be migrated.
    """
    took_s, used_s, stored = 0.0, 0.0, 0
    chunks = order_chunks(SQLITE.skip_existing)
    with closing(connect(path, writes=True)) as connection:
        while took_s < seconds:
            chunk = next(chunks)
            started, used = time.perf_counter(), time.process_time()
            for at in range(0, len(chunk), per_commit):
                commit(connection, chunk[at : at + per_commit])
            took_s += time.perf_counter() - started
            used_s += time.process_time() - used
            stored += len(chunk)
        (kept,) = connection.execute("SELECT count(*) FROM order_info").fetchone()
    assert kept == stored, f"{kept} of {stored} orders were stored"
    return stored / took_s, 1e6 * used_s / stored


def commit(connection: sqlite3.Connection, orders: Sequence[Sequence[Step]]) -> None:
    """Store orders durably in one commit."""
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    for order in orders:
        for statement, values in order:
            execute(statement, values)
    execute("COMMIT")


def order_chunks(skip_existing: str) -> Iterator[list[list[Step]]]:
    """Chunks of orders as statements with values; inserts of claims and keys end in `skip_existing`."""
    ids = Snowflakes(lambda: time.time_ns() // 1_000_000, worker=1)
    orders = new_orders(ids.next_id)
    while True:
        yield [insert_statements(next(orders), ids.next_id(), skip_existing) for _ in range(CHUNK)]


def new_orders(next_id: Callable[[], int]) -> Iterator[Order]:
    """New orders of two lines."""
    now_ms = time.time_ns() // 1_000_000
    numbers = OrderNumbers(lambda: time.time_ns() // 1_000_000, random.randrange)
    goods = {g: Goods(g, f"压测商品 {g}", f"http://127.0.0.1/{g}.svg", 1_999, True) for g in (10_001, 10_002)}
    address = PostalAddress("张三", "13800138000", "文三路 100 号", "浙江省", "杭州市", "西湖区")
    for number in count():
        yield Order.place(
            [Line(g, 2) for g in goods],
            goods,
            order_sn=numbers.order_sn(),
            actor=Actor(Role.USER, 1_000_000 + number % USERS),
            address=address,
            note="",
            pay_type=PaymentType.NOT_CHOSEN,
            now_ms=now_ms,
            pay_timeout_ms=1_800_000,
            next_id=next_id,
            salt=secrets.token_hex(16),
        )


def insert_statements(order: Order, event_id: int, skip_existing: str) -> list[Step]:
    """The service's statements that store a new order."""
    sn, now_ms = order.order_sn, order.created_ms
    event = seal(order.new_events[0], id=event_id, order_sn=sn, prev_hash=order.last_hash)
    order_row = rows.ORDER.row(order)
    scope, key = f"{order.user}:place", f"bench-{event_id}"
    key_row = (scope, key, secrets.token_bytes(32), sn, "", now_ms)
    item_row, event_row = rows.item_rows(order), rows.EVENT.row_of(event)
    outbox_row = rows.outbox_row(event, Origin(secrets.token_hex(16)))
    return [
        (INSERT_CLAIM + " (?, ?, ?)" + skip_existing, (sn, order.id, now_ms)),
        (one_row(INSERT_KEY, key_row) + skip_existing, key_row),
        (one_row(INSERT_ORDER, order_row), order_row),
        *((one_row(INSERT_ITEM, row), row) for row in item_row),
        (one_row(INSERT_EVENT, event_row), event_row),
        (one_row(INSERT_OUTBOX, outbox_row), outbox_row),
    ]


def one_row(into: str, row: Sequence[Any]) -> str:
    """The statement that inserts one row."""
    return insertion(into, len(row), 1, "")
