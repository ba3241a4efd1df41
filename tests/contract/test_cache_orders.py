"""Orders and goods out of a cache: never older than what was answered, whoever reads or dies meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown, OrderNotFound
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import Orders
from shop_order.domain.valueobject.item import Goods
from shop_order.repository.cache import Cache, CacheDown
from shop_order.repository.cache.goods import CachedGoods
from shop_order.repository.cache.orders import (
    InvalidatingPublisher,
    OrderTimes,
    OrderViews,
    cached_orders,
    decode,
    encode,
    key_of,
)
from shop_order.repository.dao.store import Store
from tests.contract.cache_engine import instance
from tests.contract.engine import BUYER, NOW_MS, added, opened, paid, sn
from tests.plugins.engines import available


class Database:
    """The orders of a store: counts reads, holds them up where a test wants it, and can lose an answer."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.reads = 0
        self.read = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.loses_answers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.orders, name)

    async def get(self, order_sn: str) -> Order:
        self.reads += 1
        try:
            return await self.orders.get(order_sn)
        finally:
            self.read.set()
            await self.go_on.wait()

    async def get_by_id(self, id: int) -> Order:
        self.reads += 1
        return await self.orders.get_by_id(id)

    async def change(self, order_sn: str, decide: Callable[[Order], Any], **more: Any) -> tuple[Order, Any]:
        changed = await self.orders.change(order_sn, decide, **more)
        if self.loses_answers:
            raise DependencyDown("order_database")
        return changed


class Process:
    """One instance of the service, as far as orders go."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self.database: Any = Database(store.orders)
        self.cache = cache
        self.counted: list[str] = []
        self.views = OrderViews(
            self.database,
            cache,
            times=lambda: OrderTimes(60_000, 5_000),
            jitter=lambda: 0.5,
            count=self.counted.append,
        )
        self.orders = cached_orders(self.database, self.views)

    async def cancel(self, order_sn: str) -> Order:
        """The buyer gives it up."""
        return (await self.orders.change(order_sn, lambda o: o.cancel("", BUYER, NOW_MS + 5, code="BUYER")))[
            0
        ]


async def eventually(look: Callable[[], Awaitable[Order]]) -> None:
    """Wait until the second version is seen."""
    async with asyncio.timeout(5):
        while True:
            if (await look()).version == 2:
                return
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of tests begin anew with every run, and Redis would remember the last one's."""
    monkeypatch.setattr("shop_order.repository.cache.redis.PREFIX", f"test-{secrets.token_hex(4)}:")


@pytest.fixture(params=available("memory", "redis"))
async def processes(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[list[Process]]:
    """Two instances on one database; with memory:// they are parts of one process and share its cache."""
    async with AsyncExitStack() as stack:
        caches = [(await stack.enter_async_context(instance(request.param))).cache]
        shares = not request.param.startswith("memory")
        caches.append(
            (await stack.enter_async_context(instance(request.param))).cache if shares else caches[0]
        )
        yield [Process(store, cache) for cache in caches]


@pytest.fixture
def here(processes: list[Process]) -> Process:
    return processes[0]


@pytest.fixture
def there(processes: list[Process]) -> Process:
    return processes[1]


async def test_what_is_shown_from_the_cache_is_what_the_database_has(store: Store, here: Process) -> None:
    order = await added(store, (1, 2), (2, 3))
    await paid(store, order, await opened(store, order))
    stored = await store.orders.get(order.order_sn)
    for expected_reads in (1, 1):
        assert await here.views.get(order.order_sn) == stored
        assert here.database.reads == expected_reads
    assert await here.views.get_by_id(order.id) == stored
    assert await here.views.get_by_id(order.id) == stored
    assert here.counted == ["miss", "hit", "hit"]
    assert here.database.reads == 2, "the id was looked up once"


async def test_a_refund_survives_the_way_through_the_cache(store: Store, here: Process) -> None:
    order = await added(store)
    payment = await opened(store, order)
    await here.cancel(order.order_sn)
    late = await paid(store, order, payment)
    assert len(late.refunds) == 1
    assert decode(encode(await store.orders.get(order.order_sn))) == await store.orders.get(order.order_sn)


async def test_a_change_is_seen_by_all_at_once(store: Store, here: Process, there: Process) -> None:
    order = await added(store)
    assert (await there.views.get(order.order_sn)).version == 1
    cancelled = await here.cancel(order.order_sn)
    assert await there.views.get(order.order_sn) == cancelled
    assert there.database.reads == 1, "the change brought the new order along"


async def test_who_read_before_a_change_neither_shows_nor_keeps_what_he_read(
    store: Store, here: Process, there: Process
) -> None:
    order = await added(store)
    there.database.go_on.clear()
    reading = asyncio.create_task(there.views.get(order.order_sn))
    await there.database.read.wait()
    cancelled = await here.cancel(order.order_sn)
    there.database.go_on.set()
    assert await reading == cancelled
    assert await here.views.get(order.order_sn) == cancelled


async def test_who_asks_after_a_change_never_joins_a_read_from_before(store: Store, here: Process) -> None:
    order = await added(store)
    here.database.go_on.clear()
    early = asyncio.create_task(here.views.get(order.order_sn))
    await here.database.read.wait()
    cancelled = await here.cancel(order.order_sn)
    assert await here.views.get(order.order_sn) == cancelled
    here.database.go_on.set()
    await early


async def test_fifty_who_ask_at_once_cost_one_read(store: Store, here: Process) -> None:
    order = await added(store)
    shown = await asyncio.gather(*(here.views.get(order.order_sn) for _ in range(50)))
    assert {o.version for o in shown} == {1}
    assert here.database.reads == 1


async def test_one_of_fifty_who_leaves_takes_nobody_along(store: Store, here: Process) -> None:
    order = await added(store)
    here.database.go_on.clear()
    asking = [asyncio.create_task(here.views.get(order.order_sn)) for _ in range(3)]
    await here.database.read.wait()
    asking[0].cancel()
    here.database.go_on.set()
    assert [o.version for o in await asyncio.gather(*asking[1:])] == [1, 1]


async def test_a_number_that_is_not_there_is_looked_up_once(here: Process, there: Process) -> None:
    unknown = sn()
    for process in (here, there, here):
        with pytest.raises(OrderNotFound):
            await process.views.get(unknown)
    assert here.database.reads + there.database.reads == 1


async def test_a_caller_who_leaves_at_the_commit_leaves_nothing_old(
    store: Store, here: Process, there: Process
) -> None:
    order = await added(store)
    await there.views.get(order.order_sn)
    leaving = asyncio.create_task(here.cancel(order.order_sn))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await eventually(lambda: store.orders.get(order.order_sn))
    await eventually(lambda: there.views.get(order.order_sn))  # it is told right after the commit
    assert there.counted[-1] == "hit"


async def test_a_commit_whose_answer_was_lost_leaves_nothing_old(
    store: Store, here: Process, there: Process
) -> None:
    order = await added(store)
    await there.views.get(order.order_sn)
    here.database.loses_answers = True
    with pytest.raises(DependencyDown):
        await here.cancel(order.order_sn)
    assert (await there.views.get(order.order_sn)).version == 2


async def test_the_event_ends_what_a_dead_process_did_not_tell(store: Store, here: Process) -> None:
    order = await added(store)
    await here.views.get(order.order_sn)
    # Another instance stored a change and died at once:
    await store.orders.change(order.order_sn, lambda o: o.cancel("", BUYER, NOW_MS, code="BUYER"))
    assert (await here.views.get(order.order_sn)).version == 1
    delivered: list[Sequence[Event]] = []

    class EventPublisher:
        async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
            delivered.append(events)
            return [event.id for event in events]

    history = await store.orders.history(order.order_sn)
    told = await InvalidatingPublisher(EventPublisher(), here.views).deliver(history)
    assert (list(told), len(delivered)) == ([event.id for event in history], 1)
    assert (await here.views.get(order.order_sn)).version == 2


async def test_bytes_of_somebody_else_are_not_shown(store: Store, here: Process) -> None:
    order = await added(store)
    for garbage in (b"not json", b"[1]", b"{}", b"[[], [], [], [], 1]"):
        await here.cache.put(key_of(order.order_sn), 1, garbage, 60_000)
        assert (await here.views.get(order.order_sn)).version == 1


# ---- goods ----

PEAR = Goods(2, "梨", "b.png", 500, True)


class Catalogue:
    """A goods service that counts how often it is asked for each."""

    def __init__(self) -> None:
        self.goods = {2: PEAR}
        self.asked: list[int] = []

    async def get_many(self, goods_ids: Sequence[int]) -> dict[int, Goods]:
        self.asked += goods_ids
        return {id: self.goods[id] for id in goods_ids if id in self.goods}


async def test_goods_for_cart_views_are_asked_for_once_known_or_not(here: Process, there: Process) -> None:
    catalogue = Catalogue()

    def shown(process: Process) -> CachedGoods:
        return CachedGoods(
            catalogue,
            process.cache,
            ttl_ms=lambda: 10_000,
            clock=lambda: NOW_MS,
            jitter=lambda: 0.0,
            count=process.counted.append,
        )

    for process in (here, there):
        assert await shown(process).get_many([2, 3]) == {2: PEAR}
    assert catalogue.asked == [2, 3]


class Gone:
    """A cache that is down."""

    up = False

    def __getattr__(self, name: str) -> Any:
        async def refuse(*_: object) -> None:
            if name != "outdate":
                raise CacheDown

        return refuse


async def test_without_a_cache_too_nobody_joins_a_read_from_before_a_change(store: Store) -> None:
    gone: Any = Gone()
    process = Process(store, gone)
    order = await added(store)
    process.database.go_on.clear()
    early = asyncio.create_task(process.views.get(order.order_sn))
    await process.database.read.wait()
    await process.cancel(order.order_sn)
    late = asyncio.create_task(process.views.get(order.order_sn))
    await asyncio.sleep(0.05)
    process.database.go_on.set()
    assert (await late).version == 2
    await early


async def test_without_a_cache_orders_and_goods_come_from_where_they_are(store: Store) -> None:
    gone: Any = Gone()
    process = Process(store, gone)
    order = await added(store)
    assert (await process.views.get(order.order_sn)).version == 1
    assert (await process.views.get_by_id(order.id)).version == 1
    assert process.database.reads == 2, "the database has enough to do without a cache"
    assert (await process.cancel(order.order_sn)).version == 2
    with pytest.raises(OrderNotFound):
        await process.views.get(sn())
    catalogue = Catalogue()
    goods = CachedGoods(
        catalogue,
        gone,
        ttl_ms=lambda: 1000,
        clock=lambda: NOW_MS,
        jitter=lambda: 0.0,
        count=process.counted.append,
    )
    assert await goods.get_many([2, 3]) == {2: PEAR}
    assert set(process.counted) == {"down"}
