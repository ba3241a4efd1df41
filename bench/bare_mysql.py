"""What we compare with on a server: bare asyncmy, CONNECTIONS at once, each committing order after order.

With several orders a commit it is one connection, and multi-row statements, as a batch of the service's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import asyncmy

from bench.bare import CHUNK, Step, made
from shop_order.repository.dao.engine.base import MYSQL
from shop_order.repository.dao.engine.mysql_address import MysqlAddress
from shop_order.repository.dao.engine.mysql_session import SQL_MODE

CONNECTIONS = 16
WARM_UP = 200  # orders that are not counted


async def stored_alone(url: str, *, a_commit: int, seconds: float) -> tuple[float, float]:
    """Orders a second, and our CPU microseconds an order. The database exists and is migrated."""
    ready = chunks(seconds)
    connections = [await connected(url) for _ in range(CONNECTIONS if a_commit == 1 else 1)]
    await store(connections[0], [next(ready) for _ in range(WARM_UP)])
    stored, begin, used = 0, time.perf_counter(), time.process_time()

    async def one(connection: Any) -> None:
        nonlocal stored
        while time.perf_counter() < begin + seconds:
            orders = [next(ready) for _ in range(a_commit)]
            await store(connection, orders)
            stored += len(orders)

    await asyncio.gather(*map(one, connections))
    took_s, used_s = time.perf_counter() - begin, time.process_time() - used
    kept = await count(connections[0])
    for connection in connections:
        await connection.ensure_closed()
    assert kept == stored + WARM_UP, f"{kept} orders were kept of {stored + WARM_UP}"
    return stored / took_s, 1e6 * used_s / stored


def chunks(seconds: float) -> Iterator[list[Step]]:
    """More orders than can be stored in the time; they are made before it begins."""
    source = made(MYSQL.skip_existing)
    most = 10_000 * seconds + WARM_UP
    return iter([order for _ in range(int(most // CHUNK) + 1) for order in next(source)])


async def connected(url: str) -> Any:
    """A connection as the service has it."""
    at = MysqlAddress.of(url)
    connection = await asyncmy.connect(
        host=at.host, port=at.port, user=at.user, password=at.password, db=at.database, charset="utf8mb4"
    )
    async with connection.cursor() as cursor:
        await cursor.execute(f"SET SESSION sql_mode = '{SQL_MODE}'")
        await cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    return connection


async def store(connection: Any, orders: Sequence[Sequence[Step]]) -> None:
    """Store them durably in one transaction; the same rows of several orders by one statement."""
    async with connection.cursor() as cursor:
        for steps in zip(*orders, strict=True):
            into = steps[0][0].replace("?", "%s")
            values = into[into.index("(", into.index(" VALUES")) :].removesuffix(MYSQL.skip_existing)
            statement = into.replace(values, ", ".join([values] * len(steps)))
            await cursor.execute(statement, tuple(chain.from_iterable(values for _, values in steps)))
    await connection.commit()


async def count(connection: Any) -> int:
    """How many orders there are."""
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT count(*) FROM order_info")
        return int((await cursor.fetchone())[0])
