"""A server of the test's own becomes read-only, as after a failover to a replica, and writable again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncmy
import pymysql
import pytest

from deploy.stack import mariadb, mysql
from shop_order.domain.errors import DependencyDown
from shop_order.repository.dao import store as stores
from shop_order.repository.dao.store import Store, open_store
from shop_order.repository.schema import migrate
from tests.contract.engine import NOW_MS, add, added, order
from tests.contract.own_server import Server, make_of, own_server
from tests.plugins.engines import available

IDS = itertools.count(1)
READ_ONLY, WRITABLE = "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"


@pytest.fixture(params=available("mysql"), scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with own_server(make_of(request.param)) as one:
        migrate(one.url)
        yield one


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    store = open_store(server.url, next_id=IDS.__next__)
    await store.open()
    await store.leases.worker_id()
    yield store
    do(server, WRITABLE)
    await store.close()


def do(server: Server, *statements: str) -> None:
    """As the server's keeper."""
    module = mariadb if server.make == "mariadb" else mysql
    with (
        pymysql.connect(unix_socket=module.socket(server.port), user="root", autocommit=True) as keeper,
        keeper.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


async def test_it_is_known_without_a_buyer_and_over_by_itself(server: Server, store: Store) -> None:
    before = await added(store)
    do(server, READ_ONLY)
    with pytest.raises(DependencyDown) as refused:
        await store.check_writes()
    assert refused.value.where == f"127.0.0.1:{server.port}/shop"
    assert store.write_error == "1290 OPTION_PREVENTS_STATEMENT"
    assert (await store.orders.get(before.order_sn)).id == before.id
    do(server, WRITABLE)
    await until_it_writes(store)
    assert store.write_error == ""
    await added(store)


async def test_every_order_of_a_batch_is_refused_as_unavailable_and_none_is_stored(
    server: Server, store: Store
) -> None:
    before = await store.orders.due(NOW_MS * 2, 1000)
    do(server, READ_ONLY)
    many = [order((1, 1)) for _ in range(40)]
    answers = await asyncio.gather(*(add(store, new) for new in many), return_exceptions=True)
    assert {type(answer) for answer in answers} == {DependencyDown}
    assert store.write_error == "1290 OPTION_PREVENTS_STATEMENT"
    do(server, WRITABLE)
    await until_it_writes(store)
    assert await store.orders.due(NOW_MS * 2, 1000) == before
    await asyncio.gather(*(add(store, new) for new in many))


async def test_a_failover_behind_the_same_address_costs_no_order(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old connection still reaches the server that is a replica now; a new one reaches the primary."""
    await added(store)
    do(server, READ_ONLY)
    real, opened = asyncmy.connect, []

    async def connect(**about: object) -> object:
        opened.append(about)
        do(server, WRITABLE)
        return await real(**about)

    monkeypatch.setattr(asyncmy, "connect", connect)
    await added(store)
    assert len(opened) == 1
    assert store.write_error == ""


async def test_while_it_lasts_it_is_not_flooded_with_connections(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await added(store)
    do(server, READ_ONLY)
    real, opened = asyncmy.connect, []

    async def connect(**about: object) -> object:
        opened.append(about)
        return await real(**about)

    monkeypatch.setattr(asyncmy, "connect", connect)
    for _ in range(200):
        with pytest.raises(DependencyDown):
            await added(store)
    assert len(opened) < 20


async def test_one_that_lets_writes_wait_without_end_is_not_well(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a full disk, or a replica that does not confirm: it refuses nothing then."""
    await added(store)
    monkeypatch.setattr(stores, "HANGING_S", 0.3)
    module = mariadb if server.make == "mariadb" else mysql
    socket = module.socket(server.port)
    with pymysql.connect(unix_socket=socket, user="root") as keeper, keeper.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        writing = asyncio.create_task(added(store))
        await asyncio.sleep(0.1)
        assert store.write_error == ""
        await asyncio.sleep(0.4)
        assert store.write_error == "SILENT"
        assert await store.last_id()  # it can still be read
        cursor.execute("UNLOCK TABLES")
        await writing
    assert store.write_error == ""


async def until_it_writes(store: Store) -> None:
    """As the service's own loop tries it."""
    for _ in range(100):
        try:
            return await store.check_writes()
        except DependencyDown:
            await asyncio.sleep(0.05)
    raise AssertionError(store.write_error)
