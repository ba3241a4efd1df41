"""A server of the tests' own is killed under load and comes back: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pymysql
import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderServiceError
from shop_order.domain.ports import KeyTaken
from shop_order.repository.dao.store import Store, open_store
from shop_order.repository.schema import migrate
from shop_order.service.upkeep.audit import AuditService
from tests.contract.engine import add, key, late_clock, order
from tests.contract.own_server import Server, make_of, own_server
from tests.plugins.engines import available

BUYERS = 16


@pytest.fixture(params=available("mysql"))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with own_server(make_of(request.param)) as one:
        migrate(one.url)
        yield one


@dataclass
class Load:
    """Buyers who try again under the same key until they are answered."""

    store: Store
    stored: list[tuple[float, str]] = field(default_factory=list)
    refusals: int = 0
    stopping: bool = False

    async def buy(self, buyer: int) -> None:
        for n in itertools.count():
            if self.stopping:
                return
            new = order(user=buyer)
            self.stored.append(await self._until_answered(new, f"{buyer}-{n}"))

    async def _until_answered(self, new: Order, name: str) -> tuple[float, str]:
        while True:
            try:
                await add(self.store, new, key=key(name, user=new.user), limit=1_000_000)
            except KeyTaken as earlier:
                return time.monotonic(), earlier.record.order_sn
            except OrderServiceError:
                self.refusals += 1
                await asyncio.sleep(0.05)
            else:
                return time.monotonic(), new.order_sn


async def test_a_server_that_is_killed_under_load_loses_nothing(server: Server) -> None:
    ids = itertools.count(10_000)
    store = open_store(server.url, next_id=ids.__next__)
    await store.open()
    load = Load(store)
    buyers = [asyncio.create_task(load.buy(n)) for n in range(1, BUYERS + 1)]
    for _ in range(2):
        await asyncio.sleep(1.0)
        server.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        await asyncio.sleep(2.0)
        assert any(at > back for at, _ in load.stored), "nothing was stored after the server came back"
    load.stopping = True
    await asyncio.gather(*buyers)
    assert load.refusals
    await check(server, store, [sn for _, sn in load.stored])
    await store.close()


async def check(server: Server, store: Store, answered: list[str]) -> None:
    """Every answered order stands once and whole, and no other."""
    assert len(set(answered)) == len(answered)
    with pymysql.connect(
        host="127.0.0.1", port=server.port, user="app", password="app", database="shop"
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT order_sn FROM order_info")
        assert {sn for (sn,) in cursor.fetchall()} == set(answered)
        for table in ("order_event", "outbox", "order_sn_claim", "idempotency_key"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone()[0] == len(answered)
    assert await AuditService(store.audit, late_clock).verify() == (len(answered), [])
