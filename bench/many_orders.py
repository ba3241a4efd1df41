"""`python -m bench.many_orders`: lists of orders where there are millions of them.

Makes the orders in a database of their own, unless they are there, and asks for pages as buyers and operators
do: each page with its total, its lines and its payments, on one connection, without the transport.
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
from dataclasses import dataclass
from pathlib import Path

from bench.seeding import HEAVY, SPAN_MS, START_MS, USERS, connected, make_orders
from shop_order.domain.ports import COUNT_CAP, Cursor, OrderFilter, OrderPage
from shop_order.domain.status import OrderStatus
from shop_order.repository.dao.engine.mysql_address import MysqlAddress
from shop_order.repository.dao.engine.mysql_session import MysqlSession
from shop_order.repository.dao.engine.sqlite import SqliteSession, connect
from shop_order.repository.dao.lists import list_orders

PAGE = 20
DAY_MS = 86_400_000
CALLS = 300
MOST_S = 30.0  # of one kind of page


@dataclass(frozen=True, slots=True)
class Ask:
    """One page."""

    where: OrderFilter
    offset: int = 0
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Lister:
    """A connection: a page, and how many rows or index entries the server has read so far."""

    page: Callable[[Ask], Awaitable[OrderPage]]
    read: Callable[[], Awaitable[int]]


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.many_orders", description=__doc__)
    parser.add_argument("--url", required=True, help="mysql://… or sqlite:///path; its orders are made here")
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--calls", type=int, default=CALLS, help="of each kind of page")
    chosen = parser.parse_args()
    make_orders(chosen.url, chosen.orders)
    with connected(chosen.url) as records:
        ((there,),) = records.run("SELECT max(id) FROM order_info")
    print(f"{there:,} orders\n\n| page of {PAGE} | p50 / p99 ms | rows read |\n|---|---|---|")
    asyncio.run(measure(chosen.url, there, chosen.calls))


async def measure(url: str, orders: int, calls: int) -> None:
    """A line for each kind of page."""
    async with lister(url) as asked:
        for name, ask in kinds(orders, random.Random(7)).items():
            print(await line(name, ask, asked, calls), flush=True)


async def line(name: str, ask: Callable[[], Ask], asked: Lister, calls: int) -> str:
    """One kind of page, again and again; the first call, which may find nothing in memory, counts too."""
    took_ms: list[float] = []
    read: list[int] = []
    until = time.monotonic() + MOST_S
    while len(took_ms) < calls and (not took_ms or time.monotonic() < until):
        wanted = ask()
        before = await asked.read()
        own = await asked.read() - before  # what asking costs
        before += own
        began = time.perf_counter()
        await asked.page(wanted)
        took_ms.append((time.perf_counter() - began) * 1000)
        read.append(await asked.read() - before - own)
    p99 = statistics.quantiles(took_ms, n=100)[98] if len(took_ms) > 1 else took_ms[0]
    rows = f"{statistics.median(read):,.0f}" if any(read) else "–"
    few = f" ({len(took_ms)} calls)" if len(took_ms) < calls else ""
    return f"| {name}{few} | {statistics.median(took_ms):.1f} / {p99:.1f} | {rows} |"


def kinds(orders: int, chance: random.Random) -> Mapping[str, Callable[[], Ask]]:
    """What is asked for: each call another buyer, day or place."""
    step_ms = SPAN_MS // orders

    def somewhere() -> Cursor:
        n = chance.randrange(orders // 10, orders - orders // 10)
        return Cursor(START_MS + n * step_ms, n + 1)

    def buyer() -> int:
        return 2 + chance.randrange(USERS)

    def day() -> tuple[int, int]:
        start_ms = START_MS + chance.randrange(SPAN_MS - DAY_MS)
        return start_ms, start_ms + DAY_MS

    def all_of(status: OrderStatus) -> OrderFilter:
        return OrderFilter(status=status)

    return {
        "a buyer's newest": lambda: Ask(OrderFilter(user=buyer())),
        "a buyer's completed": lambda: Ask(OrderFilter(user=buyer(), status=OrderStatus.COMPLETED)),
        "a buyer's of one day": lambda: Ask(OrderFilter(buyer(), None, None, *day())),
        "the greatest buyer's newest": lambda: Ask(OrderFilter(user=HEAVY)),
        "the greatest buyer's, by cursor anywhere": lambda: Ask(OrderFilter(user=HEAVY), after=somewhere()),
        "the greatest buyer's unpaid": lambda: Ask(OrderFilter(user=HEAVY, status=OrderStatus.PENDING)),
        "everybody's newest": lambda: Ask(OrderFilter()),
        "everybody's, page 500": lambda: Ask(OrderFilter(), offset=COUNT_CAP - PAGE),
        "everybody's, by cursor anywhere": lambda: Ask(OrderFilter(), after=somewhere()),
        "everybody's of one day": lambda: Ask(OrderFilter(None, None, None, *day())),
        "all to be shipped (paid)": lambda: Ask(all_of(OrderStatus.PAID)),
        "all unpaid": lambda: Ask(all_of(OrderStatus.PENDING)),
        "all shipped": lambda: Ask(all_of(OrderStatus.SHIPPED)),
        "all completed": lambda: Ask(all_of(OrderStatus.COMPLETED)),
        "all completed, by cursor anywhere": lambda: Ask(all_of(OrderStatus.COMPLETED), after=somewhere()),
        "all shipped, by cursor anywhere": lambda: Ask(all_of(OrderStatus.SHIPPED), after=somewhere()),
        "all unpaid of one day": lambda: Ask(OrderFilter(None, OrderStatus.PENDING, None, *day())),
    }


@asynccontextmanager
async def lister(url: str) -> AsyncIterator[Lister]:
    """A connection as the store has one for lists."""
    if url.startswith("sqlite:///"):
        with closing(connect(Path(url.removeprefix("sqlite:///")), writes=False)) as file:
            yield in_file(file)
        return
    session = await MysqlSession.open(MysqlAddress.of(url), writes=False)
    try:
        yield on_server(session)
    finally:
        await session.close()


def in_file(file: sqlite3.Connection) -> Lister:
    """SQLite does not tell what it read."""
    session = SqliteSession(file, writes=False)

    async def page(ask: Ask) -> OrderPage:
        return await list_orders(session, ask.where, ask.offset, PAGE, ask.after, COUNT_CAP)

    async def read() -> int:
        return 0

    return Lister(page, read)


def on_server(session: MysqlSession) -> Lister:
    """The server counts by session what it read from tables and indexes."""

    async def page(ask: Ask) -> OrderPage:
        found = await list_orders(session, ask.where, ask.offset, PAGE, ask.after, COUNT_CAP)
        await session.rollback()
        return found

    async def read() -> int:
        counted = await session.all("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in counted)

    return Lister(page, read)


if __name__ == "__main__":
    main()
