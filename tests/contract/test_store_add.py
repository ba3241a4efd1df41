"""Storing new orders: all of it in one commit, once, and nobody pays for another's fault."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import pytest

from shop_order.domain.errors import CartChanged, PlacingGivenUp, TooManyUnpaid
from shop_order.domain.ports import KeyTaken, NumberTaken, OrderStanding
from shop_order.domain.status import OrderStatus
from shop_order.repository.dao import placing
from shop_order.repository.dao.engine.base import Session
from shop_order.repository.dao.placing import NewOrder
from shop_order.repository.dao.store import Store
from shop_order.service.upkeep.audit import AuditService
from tests.contract.engine import (
    BUYER,
    DAY_MS,
    NOW_MS,
    Engine,
    FileEngine,
    add,
    added,
    due,
    key,
    late_clock,
    order,
    sn,
)


async def test_an_order_comes_back_as_it_was_stored(store: Store) -> None:
    new = order((1, 2), (3, 1))
    told = [(h.version, h.type, h.payload) for h in new.new_events]
    await add(store, new)
    found = await store.orders.get(new.order_sn)
    assert found == new
    assert await store.orders.get_by_id(new.id) == new
    events = await store.orders.history(new.order_sn)
    assert [(e.version, e.type, e.payload) for e in events] == told
    assert found.last_hash == events[-1].hash


async def test_everything_is_stored_in_one_commit(engine: Engine) -> None:
    await engine.store.carts.change(7, lambda cart: cart.add(1, 2, checked=True, id=1, now_ms=NOW_MS))
    await add(engine.store, order((1, 2)), cart_version=1, key=key())
    tables = ("order_info", "order_goods", "order_event", "outbox", "idempotency_key", "order_sn_claim")
    assert [engine.count(table) for table in tables] == [1] * 6
    assert engine.count("shopping_cart") == 0


async def test_storing_it_again_is_no_error_and_changes_nothing(engine: Engine) -> None:
    new = order()
    twin = order(order_sn=new.order_sn)
    twin.id = new.id
    await add(engine.store, new)
    await add(engine.store, twin)
    assert [engine.count(t) for t in ("order_info", "order_event", "outbox")] == [1, 1, 1]


async def test_another_orders_number_is_refused(store: Store) -> None:
    first = await added(store)
    with pytest.raises(NumberTaken):
        await add(store, order(order_sn=first.order_sn))
    assert await store.orders.get(first.order_sn) == first


async def test_after_a_tombstone_the_number_can_not_be_stored(engine: Engine) -> None:
    late = order()
    assert await engine.store.orders.statuses_or_tombstones([late.order_sn], NOW_MS) == {late.order_sn: None}
    with pytest.raises(PlacingGivenUp):
        await add(engine.store, late, key=key())
    assert engine.count("order_info") == engine.count("idempotency_key") == 0


async def test_a_stored_order_gets_no_tombstone(store: Store) -> None:
    stands, unknown = await added(store), sn()
    found = await store.orders.statuses_or_tombstones([stands.order_sn, unknown], NOW_MS)
    assert found == {stands.order_sn: OrderStanding(OrderStatus.PENDING, stands.expire_ms), unknown: None}
    assert await store.orders.statuses_or_tombstones([unknown], NOW_MS) == {unknown: None}


async def test_a_number_is_stored_or_given_up_but_never_both(store: Store) -> None:
    racing = [order(user=100 + n) for n in range(20)]
    numbers = [new.order_sn for new in racing]
    halves = [store.orders.statuses_or_tombstones(part, NOW_MS) for part in (numbers[:12], numbers[8:])]
    adding = [add(store, new) for new in racing]
    *added, first, second = await asyncio.gather(*adding, *halves, return_exceptions=True)
    assert isinstance(first, dict) and isinstance(second, dict)
    for new, outcome in zip(racing, added, strict=True):
        given_up = isinstance(outcome, PlacingGivenUp)
        stands = None if given_up else OrderStanding(OrderStatus.PENDING, new.expire_ms)
        assert given_up or outcome is new
        assert {found[new.order_sn] for found in (first, second) if new.order_sn in found} == {stands}


async def test_a_key_leads_to_its_order_for_a_day(engine: Engine) -> None:
    first = await add(engine.store, order(), key=key(command=b"a" * 32))
    for command in (b"a" * 32, b"b" * 32):
        with pytest.raises(KeyTaken) as taken:
            await add(engine.store, order(), key=key(command=command, at_ms=NOW_MS + DAY_MS - 1))
        assert (taken.value.record.order_sn, taken.value.record.command_hash) == (first.order_sn, b"a" * 32)
    find = engine.store.orders.key
    record = await find("7:place", "k", NOW_MS + DAY_MS - 1)
    assert record == taken.value.record
    assert await find("7:place", "k", NOW_MS + DAY_MS) is None
    assert await find("8:place", "k", NOW_MS) is None
    second = await add(engine.store, order(), key=key(at_ms=NOW_MS + DAY_MS))
    assert await engine.store.orders.purge_keys(NOW_MS + DAY_MS) == 0
    assert await engine.store.orders.purge_keys(NOW_MS + 2 * DAY_MS) == 1
    assert engine.count("order_info") == 2
    assert (await engine.store.orders.get(second.order_sn)).order_sn == second.order_sn


async def test_a_refused_order_leaves_its_key_free(store: Store) -> None:
    with pytest.raises(CartChanged):
        await add(store, order(), cart_version=3, key=key())
    assert await store.orders.key("7:place", "k", NOW_MS) is None


async def test_a_cart_that_was_touched_keeps_its_lines(engine: Engine) -> None:
    carts = engine.store.carts
    await carts.change(7, lambda cart: cart.add(1, 2, checked=True, id=1, now_ms=NOW_MS))
    await carts.change(7, lambda cart: cart.add(1, 1, checked=True, id=2, now_ms=NOW_MS))
    with pytest.raises(CartChanged):
        await add(engine.store, order((1, 2)), cart_version=1)
    assert (await carts.get(7)).lines[1].nums == 3
    assert engine.count("order_info") == 0


async def test_only_the_bought_lines_leave_the_cart(store: Store) -> None:
    for goods, checked in ((1, True), (2, False)):
        await store.carts.change(
            7,
            lambda cart, g=goods, c=checked: cart.add(g, 2, checked=c, id=g, now_ms=NOW_MS),  # type: ignore[misc]
        )
    await add(store, order((1, 2)), cart_version=2)
    cart = await store.carts.get(7)
    assert (set(cart.lines), cart.version) == ({2}, 3)


async def test_the_limit_on_unpaid_orders_is_exact_under_concurrency(engine: Engine) -> None:
    stored = await asyncio.gather(
        *(add(engine.store, order(), limit=3) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, TooManyUnpaid) for one in stored) == 7
    assert await engine.store.orders.count_unpaid(7) == 3
    await add(engine.store, order(user=8), limit=3)
    with pytest.raises(TooManyUnpaid):
        await add(engine.store, order(), limit=3)


async def test_paid_and_cancelled_orders_do_not_count_as_unpaid(store: Store) -> None:
    done = await added(store)
    await store.orders.change(done.order_sn, lambda o: o.cancel("", BUYER, NOW_MS, code="BUYER"))
    assert await store.orders.count_unpaid(7) == 0


async def test_bad_orders_in_a_batch_cost_the_others_nothing(engine: Engine) -> None:
    taken, given_up = await added(engine.store), sn()
    await engine.store.orders.statuses_or_tombstones([given_up], NOW_MS)
    broken = order()
    broken.pay_fen = 0  # the table's own check refuses it, in the middle of its statements
    good = [order(user=100 + n) for n in range(20)]
    bad = [order(order_sn=taken.order_sn), order(order_sn=given_up), broken, order(user=9)]
    jobs = [add(engine.store, new) for new in good]
    jobs[5:5] = [add(engine.store, new) for new in bad[:3]] + [add(engine.store, bad[3], cart_version=1)]
    got = await asyncio.gather(*jobs, return_exceptions=True)
    refused = [type(one) for one in got if isinstance(one, BaseException)]
    assert refused[:2] == [NumberTaken, PlacingGivenUp]
    assert refused[3] is CartChanged
    assert len(refused) == 4
    for new in good:
        assert (await engine.store.orders.get(new.order_sn)).order_sn == new.order_sn
    assert engine.count("order_info") == 1 + len(good)
    assert engine.count("order_event") == engine.count("outbox") == 1 + len(good)
    assert engine.count("order_sn_claim") == 1 + len(good) + 1  # and the tombstone


async def test_one_that_hinders_its_batch_is_looked_for(
    file_engine: FileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    insert_rows = placing.insert_rows

    async def counted(session: Session, orders: Sequence[NewOrder]) -> None:
        sizes.append(len(orders))
        await insert_rows(session, orders)

    monkeypatch.setattr(placing, "insert_rows", counted)
    got = await asyncio.gather(
        *(add(file_engine.store, order(user=n), cart_version=9 if n == 20 else None) for n in range(33)),
        return_exceptions=True,
    )
    assert [n for n, one in enumerate(got) if isinstance(one, CartChanged)] == [20]
    assert sum(sizes) == 32
    assert len(sizes) <= 1 + 2 + 7
    assert file_engine.count("order_info") == file_engine.count("outbox") == 32


async def test_one_key_in_two_hands_stores_one_order(engine: Engine) -> None:
    got = await asyncio.gather(
        *(add(engine.store, order(), key=key()) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, KeyTaken) for one in got) == 7
    assert engine.count("order_info") == 1


async def test_yuan_columns_are_made_from_fen(engine: Engine) -> None:
    new = order((1, 2))
    await add(engine.store, new)
    assert engine.sql("SELECT order_mount, pay_fen FROM order_info") == [(20.02, 2002)]
    assert engine.sql("SELECT goods_price, price_fen FROM order_goods") == [(10.01, 1001)]


async def test_the_chain_starts_from_nothing_and_hashes_the_stored_bytes(engine: Engine) -> None:
    await added(engine.store)
    ((id, order_sn, version, type, payload, prev_hash, digest, created_ms),) = engine.sql(
        "SELECT id, order_sn, version, type, payload, prev_hash, hash, created_ms FROM order_event"
    )
    assert prev_hash == bytes(32)
    head = f"{id}\n{order_sn}\n{version}\n{type}\n{created_ms}\n".encode()
    assert isinstance(payload, bytes)
    assert digest == hashlib.sha256(bytes(32) + head + payload).digest()


async def test_no_personal_data_is_in_the_history(engine: Engine) -> None:
    new = await added(engine.store)
    ((payload,),) = engine.sql("SELECT payload FROM order_event")
    assert isinstance(payload, bytes)
    for private in (new.address.name, new.address.phone, new.address.detail, new.note):
        assert private.encode() not in payload


async def test_new_orders_are_pending_and_due_when_their_time_is_over(store: Store) -> None:
    new = await added(store)
    assert new.status is OrderStatus.PENDING
    assert await store.orders.due(new.expire_ms - 1, 10) == []
    assert await due(store, new.expire_ms) == [new.order_sn]


async def test_an_order_that_was_refused_once_can_be_stored_later_with_its_chain_whole(store: Store) -> None:
    new = order()
    with pytest.raises(CartChanged):
        await add(store, new, cart_version=3)
    await add(store, new)
    assert await AuditService(store.audit, late_clock).verify(new.order_sn) == (1, [])
    assert await store.orders.get(new.order_sn) == new
