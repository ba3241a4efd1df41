"""`python -m bench.many_orders`: lists of orders in a database with millions of them.

Creates the orders in a separate database unless they exist, and requests pages as buyers and operators do:
each with total, lines and payments, on one connection, without the transport.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

from bench.seeding import HEAVIEST_BUYER, SPAN_MS, START_MS, USERS, connected, make_orders
from shop_order.domain.ports import COUNT_CAP, Cursor, OrderFilter, OrderPage
from shop_order.domain.status import OrderStatus
from shop_order.repository.dao.engine.mysql_session import MysqlAddress, MysqlSession
from shop_order.repository.dao.engine.sqlite import SqliteSession, connect
from shop_order.repository.dao.lists import list_orders

PAGE = 20
DAY_MS = 86_400_000
CALLS = 300
MAX_S = 30.0  # of one kind of page


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A query for one page."""

    where: OrderFilter
    offset: int = 0
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Lister:
    """A connection: reads a page, and the number of rows and index entries read so far."""

    page: Callable[[PageQuery], Awaitable[OrderPage]]
    read: Callable[[], Awaitable[int]]


def main() -> None:
    """Make the orders, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.many_orders", description=__doc__)
    parser.add_argument("--url", required=True, help="mysql://… or sqlite:///path; where the orders are made")
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--calls", type=int, default=CALLS, help="of each kind of page")
    chosen = parser.parse_args()
    make_orders(chosen.url, chosen.orders)
    with connected(chosen.url) as records:
        ((last_id,),) = records.run("SELECT max(id) FROM order_info")
    print(f"{last_id:,} orders\n\n| page of {PAGE} | p50 / p99 ms | rows read |\n|---|---|---|")
    asyncio.run(measure(chosen.url, last_id, chosen.calls))


async def measure(url: str, orders: int, calls: int) -> None:
    """Print a line for each kind of page."""
    async with open_lister(url) as lister:
        for name, query in page_queries(orders, random.Random(7)).items():
            print(await measure_page(name, query, lister, calls), flush=True)


async def measure_page(name: str, query: Callable[[], PageQuery], lister: Lister, calls: int) -> str:
    """Measure one kind of page; the first call, with cold caches, counts too."""
    took_ms: list[float] = []
    read: list[int] = []
    until = time.monotonic() + MAX_S
    while len(took_ms) < calls and (not took_ms or time.monotonic() < until):
        wanted = query()
        before = await lister.read()
        own = await lister.read() - before  # the cost of reading the counter
        before += own
        started = time.perf_counter()
        await lister.page(wanted)
        took_ms.append((time.perf_counter() - started) * 1000)
        read.append(await lister.read() - before - own)
    p99 = statistics.quantiles(took_ms, n=100)[98] if len(took_ms) > 1 else took_ms[0]
    rows = f"{statistics.median(read):,.0f}" if any(read) else "–"
    few = f" ({len(took_ms)} calls)" if len(took_ms) < calls else ""
    return f"| {name}{few} | {statistics.median(took_ms):.1f} / {p99:.1f} | {rows} |"


def page_queries(orders: int, rng: random.Random) -> Mapping[str, Callable[[], PageQuery]]:
    """Queries by name; each call chooses another buyer, day or position."""
    step_ms = SPAN_MS // orders

    def somewhere() -> Cursor:
        n = rng.randrange(orders // 10, orders - orders // 10)
        return Cursor(START_MS + n * step_ms, n + 1)

    def buyer() -> int:
        return 2 + rng.randrange(USERS)

    def day() -> tuple[int, int]:
        start_ms = START_MS + rng.randrange(SPAN_MS - DAY_MS)
        return start_ms, start_ms + DAY_MS

    def all_of(status: OrderStatus) -> OrderFilter:
        return OrderFilter(status=status)

    heaviest = OrderFilter(user=HEAVIEST_BUYER)
    return {
        "a buyer's newest": lambda: PageQuery(OrderFilter(user=buyer())),
        "a buyer's completed": lambda: PageQuery(OrderFilter(user=buyer(), status=OrderStatus.COMPLETED)),
        "a buyer's of one day": lambda: PageQuery(OrderFilter(buyer(), None, None, *day())),
        "the largest buyer's newest": lambda: PageQuery(heaviest),
        "the largest buyer's, by cursor anywhere": lambda: PageQuery(heaviest, after=somewhere()),
        "the largest buyer's unpaid": lambda: PageQuery(replace(heaviest, status=OrderStatus.PENDING)),
        "everybody's newest": lambda: PageQuery(OrderFilter()),
        "everybody's, page 500": lambda: PageQuery(OrderFilter(), offset=COUNT_CAP - PAGE),
        "everybody's, by cursor anywhere": lambda: PageQuery(OrderFilter(), after=somewhere()),
        "everybody's of one day": lambda: PageQuery(OrderFilter(None, None, None, *day())),
        "all to be shipped (paid)": lambda: PageQuery(all_of(OrderStatus.PAID)),
        "all unpaid": lambda: PageQuery(all_of(OrderStatus.PENDING)),
        "all shipped": lambda: PageQuery(all_of(OrderStatus.SHIPPED)),
        "all completed": lambda: PageQuery(all_of(OrderStatus.COMPLETED)),
        "all completed, by cursor anywhere": lambda: PageQuery(
            all_of(OrderStatus.COMPLETED), after=somewhere()
        ),
        "all shipped, by cursor anywhere": lambda: PageQuery(all_of(OrderStatus.SHIPPED), after=somewhere()),
        "all unpaid of one day": lambda: PageQuery(OrderFilter(None, OrderStatus.PENDING, None, *day())),
    }


@asynccontextmanager
async def open_lister(url: str) -> AsyncIterator[Lister]:
    """A connection like the store's for lists."""
    if url.startswith("sqlite:///"):
        with closing(connect(Path(url.removeprefix("sqlite:///")), writes=False)) as file:
            yield sqlite_lister(file)
        return
    session = await MysqlSession.open(MysqlAddress.of(url), writes=False)
    try:
        yield server_lister(session)
    finally:
        await session.close()


def sqlite_lister(file: sqlite3.Connection) -> Lister:
    """A lister on SQLite, which does not count what it reads."""
    session = SqliteSession(file, writes=False)

    async def page(query: PageQuery) -> OrderPage:
        return await list_orders(session, query.where, query.offset, PAGE, query.after)

    async def read() -> int:
        return 0

    return Lister(page, read)


def server_lister(session: MysqlSession) -> Lister:
    """A lister on a server, which counts reads from tables and indexes by session."""

    async def page(query: PageQuery) -> OrderPage:
        found = await list_orders(session, query.where, query.offset, PAGE, query.after)
        await session.rollback()
        return found

    async def read() -> int:
        counted = await session.all("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in counted)

    return Lister(page, read)


if __name__ == "__main__":
    main()
