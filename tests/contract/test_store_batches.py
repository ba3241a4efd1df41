"""Orders, and changes of them, that arrive together on a server: fewer statements, the same decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import (
    CartChanged,
    IllegalTransition,
    OrderNotFound,
    TooManyUnpaid,
    TooMuchContention,
)
from shop_order.domain.ports import KeyTaken, TradeNoTaken
from shop_order.repository.dao.engine import mysql_session
from shop_order.repository.dao.engine.base import MYSQL
from shop_order.repository.dao.engine.mysql_session import MysqlSession
from shop_order.repository.dao.store import open_store
from shop_order.service.upkeep.audit import AuditService
from tests.contract.archived import archive_all, cancelled, clean, late_money
from tests.contract.engine import (
    BUYER,
    NOW_MS,
    Engine,
    add,
    added,
    attempt,
    key,
    late_clock,
    opened,
    order,
    sn,
)
from tests.contract.test_store_trade_numbers import paid, unpaid, waiting


def cancel(o: Order) -> None:
    """The buyer does."""
    o.cancel("", BUYER, NOW_MS, code="BUYER")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement from now on."""
    statements: list[str] = []
    execute = MysqlSession._execute

    async def record(self: MysqlSession, sql: str, values: Sequence[Any]) -> Any:
        statements.append(sql)
        return await execute(self, sql, values)

    monkeypatch.setattr(MysqlSession, "_execute", record)
    return statements


def how_many(sent: list[str], words: str) -> int:
    return sum(sql.startswith(words) for sql in sent)


async def test_changes_that_arrive_together_share_their_statements(server: Engine, sent: list[str]) -> None:
    many = [await added(server.store, user=n) for n in range(16)]
    refused = await added(server.store)
    await server.store.orders.change(refused.order_sn, cancel)
    sent.clear()
    blocker = asyncio.create_task(opened(server.store, many[0]))  # the others gather behind it
    await asyncio.sleep(0)
    got = await asyncio.gather(
        *(opened(server.store, new) for new in [*many[1:], refused]), return_exceptions=True
    )
    await blocker
    assert [type(one) for one in got[:-1]] == [Payment] * 15
    assert isinstance(got[-1], IllegalTransition)
    assert how_many(sent, "UPDATE order_info") == 16
    assert len(sent) - 16 < 30
    for new in many:
        assert (await server.store.orders.get(new.order_sn)).version == 2
    assert await AuditService(server.store.audit, late_clock).verify() == (17, [])


async def test_numbers_nobody_has_and_double_clicks_leave_the_rest_of_a_batch_together(
    server: Engine, sent: list[str]
) -> None:
    gone = await cancelled(server.store)
    assert await archive_all(server.store) == 1
    many = [await added(server.store, user=n) for n in range(16)]
    sent.clear()
    blocker = asyncio.create_task(opened(server.store, many[0]))
    await asyncio.sleep(0)
    asked = [*(new.order_sn for new in many[1:]), many[1].order_sn, *(sn() for _ in range(16))]
    got = await asyncio.gather(
        *(server.store.orders.change(one, cancel) for one in asked),
        late_money(server.store, gone),
        return_exceptions=True,
    )
    await blocker
    assert [type(one) for one in got] == [tuple] * 16 + [OrderNotFound] * 16 + [Order]
    assert len(sent) - how_many(sent, "UPDATE order_info") < 60
    assert server.count("order_event") == 16 + 16 + 6
    assert await clean(server.store)


async def test_who_is_hindered_leaves_the_other_new_orders_together(server: Engine, sent: list[str]) -> None:
    def fill(cart: Cart) -> None:
        cart.add(1, 2, checked=True, id=1, now_ms=NOW_MS)

    store = server.store
    await add(store, order(user=1), limit=1)
    await store.carts.change(2, fill)
    sent.clear()
    blocker = asyncio.create_task(added(store))
    await asyncio.sleep(0)
    got = await asyncio.gather(
        *(add(store, order(user=100 + n), limit=1) for n in range(16)),
        add(store, order(user=1), limit=1),
        add(store, order((1, 2), user=2), cart_version=1),
        add(store, order((1, 2), user=2), cart_version=1),
        add(store, order(user=3), cart_version=9),
        return_exceptions=True,
    )
    await blocker
    assert [type(one) for one in got] == [Order] * 16 + [TooManyUnpaid, Order, CartChanged, CartChanged]
    assert how_many(sent, "INSERT INTO order_info") == 3  # the first, all others, one of two clicks
    assert server.count("order_info") == 1 + 1 + 17
    assert server.count("shopping_cart") == 0


async def test_one_that_hinders_its_batch_is_looked_for(server: Engine, sent: list[str]) -> None:
    taken = key("taken")
    await add(server.store, order(), key=taken)
    sent.clear()
    blocker = asyncio.create_task(added(server.store))
    await asyncio.sleep(0)
    got = await asyncio.gather(
        *(add(server.store, order(), key=taken if n == 20 else key(str(n))) for n in range(32)),
        return_exceptions=True,
    )
    await blocker
    assert [n for n, one in enumerate(got) if isinstance(one, KeyTaken)] == [20]
    assert how_many(sent, "INSERT INTO order_info") <= 1 + 2 + 7
    assert server.count("order_info") == server.count("outbox") == 2 + 31
    assert await AuditService(server.store.audit, late_clock).verify() == (33, [])


async def test_a_statement_has_a_bound(
    server: Engine, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_session, "MYSQL", replace(MYSQL, max_rows=2))
    await server.reopen()
    new = await added(server.store, *((goods, 1) for goods in range(1, 6)))
    assert how_many(sent, "INSERT INTO order_goods") == 3
    assert await server.store.orders.get(new.order_sn) == new


async def test_of_two_changes_of_one_order_in_a_batch_the_second_sees_the_first(server: Engine) -> None:
    new, other = await added(server.store), await added(server.store)
    asking = [new.order_sn, other.order_sn, new.order_sn, new.order_sn]
    got = await asyncio.gather(
        *(server.store.orders.change(sn, cancel) for sn in asking), return_exceptions=True
    )
    assert not any(isinstance(one, TooMuchContention) for one in got)
    assert server.count("order_event") == 4
    assert await AuditService(server.store.audit, late_clock).verify() == (2, [])


async def test_a_key_that_two_changes_of_a_batch_carry_is_taken_once_and_the_rest_of_the_batch_stands(
    server: Engine,
) -> None:
    many = [await added(server.store) for _ in range(5)]
    same = key("same")

    async def pay(of: Order, carried: bool) -> Payment:
        payment = attempt(of)

        def decide(o: Order) -> Payment:
            o.open_attempt(payment, BUYER, NOW_MS)
            return payment

        return (await server.store.orders.change(of.order_sn, decide, key=same if carried else None))[1]

    first = asyncio.create_task(pay(many[0], False))
    await asyncio.sleep(0)
    got = await asyncio.gather(*(pay(new, n < 2) for n, new in enumerate(many[1:])), return_exceptions=True)
    await first
    assert [type(one) for one in got].count(KeyTaken) == 1
    assert server.count("payment") == 4
    record = await server.store.orders.key(same.scope, same.key, NOW_MS)
    assert record is not None
    assert record.payment_sn in {one.payment_sn for one in got if isinstance(one, Payment)}


async def test_new_orders_and_changes_of_one_batch_stand_or_fall_each_for_itself(server: Engine) -> None:
    old = await added(server.store)
    taken = key("taken")
    await add(server.store, order(), key=taken)
    first = asyncio.create_task(opened(server.store, old))
    await asyncio.sleep(0)
    one, two, three = order(), order(), await added(server.store)
    got = await asyncio.gather(
        add(server.store, one),
        add(server.store, two, key=taken),
        opened(server.store, three),
        return_exceptions=True,
    )
    await first
    assert [type(answer) for answer in got] == [Order, KeyTaken, Payment]
    assert await AuditService(server.store.audit, late_clock).verify() == (4, [])


async def test_of_several_processes_one_has_the_number(server: Engine) -> None:
    other = open_store(server.url, next_id=server.next_id)
    await other.open()
    try:
        for n in range(10):
            one, two = await waiting(server.store), await waiting(server.store)
            told = paid(server.store, one, f"T{n}"), paid(other, two, f"T{n}")
            ends = await asyncio.gather(*told, return_exceptions=True)
            assert {type(end) for end in ends} == {Order, TradeNoTaken}, ends
            await unpaid(other, one if isinstance(ends[0], TradeNoTaken) else two)
    finally:
        await other.close()
