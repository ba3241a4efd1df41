"""Archived orders: out of the lists, found by number with all that is theirs, back when something happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.ports import NumberTaken, OrderFilter, OrderStanding
from shop_order.domain.status import OrderStatus, RefundState, RefundStatus
from shop_order.repository.dao.archive import move_statements
from shop_order.repository.dao.rows import HISTORY, LIVE
from shop_order.repository.dao.store import Store
from shop_order.repository.schema import migrate
from shop_order.service.upkeep.archive import PAGE
from tests.contract.archived import (
    LATER_MS,
    PAIRS,
    archive_all,
    archiving,
    cancelled,
    clean,
    completed,
    give_back,
    late_money,
)
from tests.contract.engine import (
    BUYER,
    DAY_MS,
    NOW_MS,
    Engine,
    add,
    added,
    key,
    opened,
    order,
    paid,
    sn,
    stored_columns,
)

# Columns that were added after the history tables, or told something else before.
LATER = frozenset(
    f'"{name}"'
    for name in (
        *("return_url", "cancel_url", "cancel_code", "refund_status", "close_reason"),
        *("user", "type", "items", "freight_fen", "requested_by", "approvals", "approver", "decision"),
        *("parcel_company", "parcel_no", "failure", "out_refund_no"),
    )
)


def rows_of(
    engine: Engine, tables: tuple[str, ...], without: frozenset[str] = frozenset()
) -> list[list[tuple[object, ...]]]:
    """Every stored column of every row."""
    found = []
    for table in tables:
        columns = [name for name in stored_columns(engine, table) if name not in without]
        found.append(sorted(engine.sql(f"SELECT {', '.join(columns)} FROM {table}"), key=repr))
    return found


# ---- what moves, and what is found ----


async def test_an_archived_order_is_the_same_order(engine: Engine) -> None:
    store = engine.store
    done = await completed(store, (1, 2), (2, 1))
    before = await store.orders.get(done.order_sn)
    history = await store.orders.history(done.order_sn)
    assert await archive_all(store) == 1
    assert engine.count("order_info") == 0
    assert await store.orders.get(done.order_sn) == before
    assert await store.orders.get_by_id(done.id) == before
    for payment in before.payments.values():
        assert await store.payments.find(payment.payment_sn) == payment
    assert await store.orders.history(done.order_sn) == history
    found = await store.orders.statuses_or_tombstones([done.order_sn], NOW_MS)
    assert found == {done.order_sn: OrderStanding(OrderStatus.COMPLETED, done.expire_ms, was_paid=True)}
    (stored,) = await store.audit.stored([done.order_sn])
    assert (stored.order, stored.archived, stored.strays) == (before, True, [])
    assert await clean(store)


async def test_an_archived_order_keeps_the_shops_pages(store: Store) -> None:
    new = order()
    new.return_url, new.cancel_url = "https://shop.example/done?a=1", "https://shop.example/cart"
    await add(store, new)
    await store.orders.change(new.order_sn, lambda o: o.cancel("", BUYER, NOW_MS, code="BUYER"))
    before = await store.orders.get(new.order_sn)
    assert (before.return_url, before.cancel_url) == (new.return_url, new.cancel_url)
    assert await archive_all(store) == 1
    assert await store.orders.get(new.order_sn) == before


async def test_every_column_goes_there_and_comes_back(engine: Engine) -> None:
    store = engine.store
    gone = await cancelled(store)
    await give_back(store, await late_money(store, gone))
    await completed(store, (1, 2), (2, 1))
    engine.sql("UPDATE order_info SET deleted_at = updated_at")
    engine.sql("UPDATE order_goods SET deleted_at = created_at")
    engine.sql("UPDATE payment SET ask_tries = 3")
    engine.sql("UPDATE refund SET tries = 4")
    live, history = (tuple(pair[at] for pair in PAIRS) for at in (0, 1))
    before, earlier = rows_of(engine, live), rows_of(engine, live, LATER)
    assert all(before)
    numbers = {
        str(number): version for number, version in engine.sql("SELECT order_sn, version FROM order_info")
    }
    assert await store.archive.move(numbers) == 2  # type: ignore[arg-type]
    assert rows_of(engine, history) == before
    assert not any(rows_of(engine, live))
    await engine.opened.pop().close()
    migrate(engine.url, "0004")
    assert rows_of(engine, live, LATER) == earlier
    migrate(engine.url)
    assert rows_of(engine, live) == before
    await engine.open()
    assert not any(rows_of(engine, history))
    assert await clean(engine.store)


def test_the_history_tables_have_the_columns_of_today(engine: Engine) -> None:
    statements = [sql for sql, _ in move_statements(LIVE, HISTORY, 1) if sql.startswith("INSERT")]
    for (live, history), statement in zip(PAIRS, statements, strict=True):
        columns = stored_columns(engine, live)
        assert stored_columns(engine, history) == columns
        moved = statement[statement.index("(") + 1 : statement.index(")")].replace('"', "").split(", ")
        assert sorted(f'"{name}"' for name in moved) == columns


async def test_lists_leave_it_out_but_for_its_number(engine: Engine) -> None:
    store = engine.store
    done, new = await completed(store), await added(store)
    await archive_all(store)
    page = await store.orders.list(OrderFilter(user=7), offset=0, limit=10, after=None)
    assert ([o.order_sn for o in page.orders], page.total) == ([new.order_sn], 1)
    for where in (OrderFilter(order_sn=done.order_sn), OrderFilter(user=7, order_sn=done.order_sn)):
        page = await store.orders.list(where, offset=0, limit=10, after=None)
        assert ([o.order_sn for o in page.orders], page.total, page.next) == ([done.order_sn], 1, None)
        assert page.orders[0].items == done.items
    for where in (
        OrderFilter(user=8, order_sn=done.order_sn),
        OrderFilter(order_sn=done.order_sn, status=OrderStatus.PAID),
    ):
        page = await store.orders.list(where, offset=0, limit=10, after=None)
        assert (page.orders, page.total) == ([], 0)


async def test_many_at_once_are_found_wherever_they_lie(engine: Engine) -> None:
    store = engine.store
    old = [await completed(store, user=n) for n in range(3)]
    await archive_all(store)
    new = [await added(store, user=n) for n in range(3)]
    wanted = [old[0], new[0], old[1], new[1], old[0]]
    got = await asyncio.gather(*(store.orders.get(o.order_sn) for o in wanted))
    assert [o.id for o in got] == [o.id for o in wanted]
    with pytest.raises(OrderNotFound):
        await store.orders.get(sn())


async def test_an_order_whose_provider_is_still_to_be_asked_stays_where_it_is_looked_for(
    engine: Engine,
) -> None:
    store = engine.store
    asked, done = await cancelled(store), await cancelled(store)
    (attempt,) = asked.payments
    engine.sql("UPDATE payment SET ask_ms = 1 WHERE payment_sn = ?", attempt)
    assert await archive_all(store) == 1
    assert [await store.payments.find(attempt)] == [
        p for p, _ in await store.payments.due_queries(NOW_MS, 10)
    ]
    assert engine.sql("SELECT order_sn FROM order_info_history") == [(done.order_sn,)]
    await store.payments.stop_queries(asked.payments[attempt], 1)
    assert await archive_all(store) == 1


async def test_its_number_and_its_key_are_still_taken(engine: Engine) -> None:
    store = engine.store
    new = order()
    again = replace(new, new_events=list(new.new_events))
    await add(store, new, key=key())

    def cancel(o: Order) -> None:
        o.cancel("", BUYER, NOW_MS, code="BUYER")

    await store.orders.change(new.order_sn, cancel)
    assert await archive_all(store) == 1
    record = await store.orders.key("7:place", "k", NOW_MS)
    assert record and (await store.orders.get(record.order_sn)).status is OrderStatus.CANCELLED
    with pytest.raises(NumberTaken):
        await add(store, order(order_sn=new.order_sn))
    await add(store, again)  # the answer to the first commit was lost: nothing is stored twice
    assert engine.count("order_info") == 0
    assert engine.count("order_event") == 2


# ---- what happens to it afterwards ----


async def test_the_same_notice_again_changes_nothing(engine: Engine) -> None:
    store = engine.store
    done = await completed(store)
    await archive_all(store)
    payment = done.payments[done.payment_sn]
    assert await paid(store, done, payment, LATER_MS) == await store.orders.get(done.order_sn)
    assert (engine.count("order_info"), engine.count("order_info_history")) == (0, 1)
    assert engine.count("order_event") == done.version


async def test_late_money_brings_it_back_and_is_given_back(engine: Engine) -> None:
    store = engine.store
    gone = await cancelled(store)
    await archive_all(store)
    late = await late_money(store, gone)
    assert (engine.count("order_info"), engine.count("order_info_history")) == (1, 0)
    assert [r.surplus for r in late.refunds.values()] == [True]
    ((refund, _),) = await store.payments.due_refunds(LATER_MS + DAY_MS, 10)
    assert isinstance(refund, Refund)
    assert refund.order_sn == gone.order_sn
    assert await archive_all(store, LATER_MS + 50 * DAY_MS) == 0
    settled = await give_back(store, late)
    assert settled.refund_status is RefundStatus.WHOLE
    assert await clean(store)
    assert await archive_all(store, LATER_MS + 20 * DAY_MS) == 0
    assert await archive_all(store, LATER_MS + 50 * DAY_MS) == 1
    assert await store.orders.get(gone.order_sn) == settled
    assert await clean(store)


async def test_who_changes_it_before_the_commit_keeps_it(engine: Engine) -> None:
    store = engine.store
    gone, other = await cancelled(store), await cancelled(store)
    page = await store.archive.oldest(LATER_MS, None, 10)
    versions = {o.order_sn: o.version for o in page.orders}
    await late_money(store, gone)
    assert await store.archive.move(versions) == 1
    assert await store.archive.move(versions) == 0
    assert engine.sql("SELECT order_sn FROM order_info") == [(gone.order_sn,)]
    assert engine.sql("SELECT order_sn FROM order_info_history") == [(other.order_sn,)]


# ---- which ones, and when ----


async def test_only_what_is_settled_is_archived(engine: Engine) -> None:
    store = engine.store
    await added(store)
    await paid(store, new := await added(store), await opened(store, new))
    shipped = await added(store)
    await paid(store, shipped, await opened(store, shipped))
    await store.orders.change(
        shipped.order_sn, lambda o: o.ship("顺丰", "SF1", BUYER, NOW_MS, auto_confirm_ms=DAY_MS)
    )
    asked = await added(store)
    await opened(store, asked)
    await store.orders.change(asked.order_sn, lambda o: o.cancel("", BUYER, NOW_MS, code="BUYER"))
    await late_money(store, await cancelled(store))
    await give_back(store, await late_money(store, await cancelled(store)), ends=RefundState.FAILED)
    far_ms = LATER_MS + 1000 * DAY_MS
    assert await archive_all(store, far_ms) == 0
    done = await cancelled(store)
    assert await archive_all(store, far_ms) == 1
    assert engine.sql("SELECT order_sn FROM order_info_history") == [(done.order_sn,)]


async def test_days_count_from_the_last_change(engine: Engine) -> None:
    store = engine.store
    await completed(store)
    assert await archive_all(store, NOW_MS + 30 * DAY_MS) == 0
    assert await archive_all(store, NOW_MS + 30 * DAY_MS + 1) == 1


async def test_a_walk_ends_and_the_next_one_finds_what_was_settled_meanwhile(engine: Engine) -> None:
    store = engine.store
    waiting = [await added(store, user=n, now_ms=NOW_MS + n) for n in range(PAGE + 5)]
    await cancelled(store)
    service = archiving(store)
    assert [(await service.run_once(30)).examined for _ in range(2)] == [PAGE, 6]
    for late in waiting[:3]:
        await store.orders.change(late.order_sn, lambda o: o.cancel("", BUYER, NOW_MS, code="BUYER"))
    assert await archive_all(store) == 3


async def test_nothing_moves_while_it_is_switched_off(engine: Engine) -> None:
    await cancelled(engine.store)
    off, on = archiving(engine.store, days=0), archiving(engine.store, days=30)
    await off.step()
    assert (off.is_enabled, engine.count("order_info")) == (False, 1)
    await on.step()
    assert (on.is_enabled, on.is_idle, engine.count("order_info")) == (True, True, 0)
