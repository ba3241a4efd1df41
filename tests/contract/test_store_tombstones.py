"""Tombstones stand as long as an order may still come, so many a minute, and then go."""

from __future__ import annotations

import asyncio

import pytest

from shop_order.domain import ports
from shop_order.domain.errors import PlacingGivenUp, RateLimited
from shop_order.domain.ports import TOMBSTONE_LIFETIME_MS
from shop_order.repository.dao.store import Store
from shop_order.repository.schema import migrate
from tests.contract.engine import NOW_MS, Engine, add, added, order, sn


async def plant(store: Store, *numbers: str, now_ms: int = NOW_MS) -> None:
    found = await store.orders.statuses_or_tombstones(numbers, now_ms)
    assert found == dict.fromkeys(numbers)


def standing(engine: Engine) -> tuple[int, int]:
    """Rows of the claims, and of the list of tombstones."""
    return engine.count("order_sn_claim"), engine.count("order_sn_tombstone")


async def test_a_tombstone_stands_until_no_order_can_come(engine: Engine) -> None:
    late, stands = order(), await added(engine.store)
    await plant(engine.store, late.order_sn)
    assert standing(engine) == (2, 1)
    assert await engine.store.orders.purge_tombstones(NOW_MS + TOMBSTONE_LIFETIME_MS - 1) == 0
    with pytest.raises(PlacingGivenUp):
        await add(engine.store, late)
    assert await engine.store.orders.purge_tombstones(NOW_MS + TOMBSTONE_LIFETIME_MS) == 1
    assert standing(engine) == (1, 0)
    assert await engine.store.orders.purge_tombstones(NOW_MS + 10 * TOMBSTONE_LIFETIME_MS) == 0
    assert await engine.store.orders.get(stands.order_sn) == stands


async def test_who_asks_again_does_not_make_it_younger(engine: Engine) -> None:
    number = sn()
    await plant(engine.store, number)
    await plant(engine.store, number, now_ms=NOW_MS + TOMBSTONE_LIFETIME_MS)
    assert standing(engine) == (1, 1)
    assert await engine.store.orders.purge_tombstones(NOW_MS + TOMBSTONE_LIFETIME_MS) == 1
    await plant(engine.store, number, now_ms=NOW_MS + TOMBSTONE_LIFETIME_MS)
    assert standing(engine) == (1, 1)


async def test_they_go_in_bounded_steps_oldest_first(engine: Engine) -> None:
    old, young = [sn() for _ in range(700)], [sn() for _ in range(40)]
    await plant(engine.store, *old)
    await plant(engine.store, *young, now_ms=NOW_MS + 1000)
    gone = [await engine.store.orders.purge_tombstones(NOW_MS + TOMBSTONE_LIFETIME_MS) for _ in range(3)]
    assert gone == [500, 200, 0]
    assert standing(engine) == (40, 40)


async def test_so_many_a_minute_and_not_one_of_a_call_that_is_too_much(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "MAX_TOMBSTONES_PER_MINUTE", 10)
    stands = await added(engine.store)
    await plant(engine.store, *(sn() for _ in range(8)))
    with pytest.raises(RateLimited):
        await engine.store.orders.statuses_or_tombstones([stands.order_sn, sn(), sn(), sn()], NOW_MS + 59_999)
    assert standing(engine) == (9, 8)
    await plant(engine.store, sn(), sn(), now_ms=NOW_MS + 59_999)
    with pytest.raises(RateLimited):
        await engine.store.orders.statuses_or_tombstones([sn()], NOW_MS + 59_999)
    found = await engine.store.orders.statuses_or_tombstones([stands.order_sn], NOW_MS + 59_999)
    assert found[stands.order_sn] is not None
    await plant(engine.store, *(sn() for _ in range(8)), now_ms=NOW_MS + 60_000)


async def test_an_order_that_is_not_in_time_is_given_up_and_hinders_nobody(engine: Engine) -> None:
    late, others = order(user=8), [order(user=10 + n) for n in range(20)]

    async def too_late() -> None:
        await engine.store.orders.add(
            late, cart_version=None, key=None, unpaid_limit=0, in_time=lambda: False
        )

    outcomes = await asyncio.gather(
        *(add(engine.store, one) for one in others[:10]),
        too_late(),
        *(add(engine.store, one) for one in others[10:]),
        return_exceptions=True,
    )
    given_up = [one for one in outcomes if isinstance(one, BaseException)]
    assert [type(one) for one in given_up] == [PlacingGivenUp]
    assert engine.count("order_info") == engine.count("order_sn_claim") == 20


async def test_an_order_that_is_stored_already_is_in_time(store: Store) -> None:
    stands = await added(store)
    twin = order(order_sn=stands.order_sn)
    twin.id = stands.id
    await store.orders.add(twin, cart_version=None, key=None, unpaid_limit=0, in_time=lambda: False)
    assert (await store.orders.get(stands.order_sn)).id == stands.id


async def test_tombstones_from_before_the_list_are_listed(engine: Engine) -> None:
    await plant(engine.store, *(sn() for _ in range(30)))
    await added(engine.store)
    await engine.opened.pop().close()
    migrate(engine.url, "0011")
    migrate(engine.url)
    await engine.open()
    assert standing(engine) == (31, 30)
    assert await engine.store.orders.purge_tombstones(NOW_MS + TOMBSTONE_LIFETIME_MS) == 30
    assert standing(engine) == (1, 0)
