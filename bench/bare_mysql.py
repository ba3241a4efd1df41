"""The reference on a server: bare asyncmy with CONNECTIONS connections, each committing one order at a time.

With several orders per commit: one connection and multi-row statements, like a batch of the service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import asyncmy

from bench.bare import CHUNK, Step, order_chunks
from shop_order.repository.dao.engine.base import MYSQL
from shop_order.repository.dao.engine.mysql_session import SQL_MODE, MysqlAddress

CONNECTIONS = 16
WARM_UP = 200  # orders, not counted


async def measure_inserts(url: str, *, per_commit: int, seconds: float) -> tuple[float, float]:
    """Orders per second, and CPU microseconds per order. The database must exist and be migrated."""
    ready = chunks(seconds)
    connections = [await connected(url) for _ in range(CONNECTIONS if per_commit == 1 else 1)]
    await store(connections[0], [next(ready) for _ in range(WARM_UP)])
    stored, begin, used = 0, time.perf_counter(), time.process_time()

    async def one(connection: Any) -> None:
        nonlocal stored
        while time.perf_counter() < begin + seconds:
            orders = [next(ready) for _ in range(per_commit)]
            await store(connection, orders)
            stored += len(orders)

    await asyncio.gather(*map(one, connections))
    took_s, used_s = time.perf_counter() - begin, time.process_time() - used
    kept = await count(connections[0])
    for connection in connections:
        await connection.ensure_closed()
    assert kept == stored + WARM_UP, f"{kept} of {stored + WARM_UP} orders were stored"
    return stored / took_s, 1e6 * used_s / stored


def chunks(seconds: float) -> Iterator[list[Step]]:
    """More orders than can be stored in the time, built beforehand."""
    source = order_chunks(MYSQL.skip_existing)
    max_orders = 10_000 * seconds + WARM_UP
    return iter([order for _ in range(int(max_orders // CHUNK) + 1) for order in next(source)])


async def connected(url: str) -> Any:
    """A connection configured like the service's."""
    at = MysqlAddress.of(url)
    connection = await asyncmy.connect(
        host=at.host, port=at.port, user=at.user, password=at.password, db=at.database, charset="utf8mb4"
    )
    async with connection.cursor() as cursor:
        await cursor.execute(f"SET SESSION sql_mode = '{SQL_MODE}'")
        await cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    return connection


async def store(connection: Any, orders: Sequence[Sequence[Step]]) -> None:
    """Store orders in one transaction, with one multi-row statement for each table."""
    async with connection.cursor() as cursor:
        for steps in zip(*orders, strict=True):
            into = steps[0][0].replace("?", "%s")
            values = into[into.index("(", into.index(" VALUES")) :].removesuffix(MYSQL.skip_existing)
            statement = into.replace(values, ", ".join([values] * len(steps)))
            await cursor.execute(statement, tuple(chain.from_iterable(values for _, values in steps)))
    await connection.commit()


async def count(connection: Any) -> int:
    """The number of orders."""
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT count(*) FROM order_info")
        return int((await cursor.fetchone())[0])
