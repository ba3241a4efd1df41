"""Rows that somebody altered past recognition keep no other from being read."""

from __future__ import annotations

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import OrderServiceError, UnreadableRow
from shop_order.domain.ports import OrderFilter, OrderStanding
from shop_order.domain.status import OrderStatus, RefundState, RefundStatus
from shop_order.domain.valueobject.parties import SYSTEM
from shop_order.repository.dao import rows
from tests.contract.archived import LATER_MS, archiving, cancelled, late_money
from tests.contract.engine import BUYER, NOW_MS, TIMEOUT_MS, Engine, added, due, opened, paid

ALTERED = "UPDATE order_info SET pay_type = 'shells' WHERE order_sn = ?"
WEEK_MS = 604_800_000


async def test_an_unreadable_order_is_left_out_of_pages_and_named(engine: Engine) -> None:
    store = engine.store
    old, bad, new = [await added(store, now_ms=NOW_MS + n) for n in range(3)]
    engine.sql(ALTERED, bad.order_sn)
    page = await store.orders.list(OrderFilter(user=7), offset=0, limit=10, after=None)
    assert [o.order_sn for o in page.orders] == [new.order_sn, old.order_sn]
    assert ([row.number for row in page.unreadable], page.total) == ([bad.order_sn], 3)
    with pytest.raises(UnreadableRow):
        await store.orders.get(bad.order_sn)
    with pytest.raises(UnreadableRow):
        await store.orders.change(bad.order_sn, lambda o: None)
    assert not issubclass(UnreadableRow, OrderServiceError), "no caller did anything wrong"


async def test_the_cursor_leads_past_unreadable_orders(engine: Engine) -> None:
    store = engine.store
    orders = [await added(store, now_ms=NOW_MS + n) for n in range(5)]
    for bad in orders[1:4]:
        engine.sql(ALTERED, bad.order_sn)
    seen, after = [], None
    for _ in range(5):
        page = await store.orders.list(OrderFilter(user=7), offset=0, limit=1, after=after)
        seen += [o.order_sn for o in page.orders] + [row.number for row in page.unreadable]
        if (after := page.next) is None:
            break
    assert seen == [o.order_sn for o in reversed(orders)]


@pytest.mark.parametrize("table", ["order_info", "payment", "refund"])
async def test_one_unreadable_order_stops_no_archiving(engine: Engine, table: str) -> None:
    store = engine.store
    bad, good = await cancelled(store), await cancelled(store)
    await late_money(store, bad)
    column = {"order_info": "pay_type", "payment": "state", "refund": "state"}[table]
    engine.sql(f"UPDATE {table} SET {column} = 'shells' WHERE order_sn = ?", bad.order_sn)
    told: list[str] = []
    walked = await archiving(store, LATER_MS, on_unreadable=lambda row: told.append(row.number)).run_once(30)
    assert (walked.examined, walked.archived, walked.is_last, told) == (2, 1, True, [bad.order_sn])
    assert engine.sql("SELECT order_sn FROM order_info_history") == [(good.order_sn,)]


async def test_an_unreadable_attempt_is_named_between_the_others_and_may_be_put_off(engine: Engine) -> None:
    store = engine.store
    payments = [await opened(store, await added(store), NOW_MS + n) for n in range(3)]
    engine.sql("UPDATE payment SET state = 'shells' WHERE payment_sn = ?", payments[1].payment_sn)
    found = await store.payments.due_queries(NOW_MS + 10**6, 10)
    rows = [one.number if isinstance(one, UnreadableRow) else one.payment_sn for one, _ in found]
    assert sorted(rows) == sorted(p.payment_sn for p in payments)
    assert [tries for one, tries in found if isinstance(one, UnreadableRow)] == [0]
    await store.payments.postpone_query(payments[1].payment_sn, NOW_MS + 10**7)
    assert len(await store.payments.due_queries(NOW_MS + 10**6, 10)) == 2
    ((row, tries),) = [one for one in await store.payments.due_queries(NOW_MS + 10**7, 10) if one[1]]
    assert isinstance(row, UnreadableRow)
    assert tries == 1


async def test_overdue_orders_are_walked_over_whatever_is_among_them(engine: Engine) -> None:
    store = engine.store
    orders = [await added(store, now_ms=NOW_MS + n // 2) for n in range(5)]  # some at the same moment
    engine.sql(ALTERED, orders[0].order_sn)
    seen, after = [], None
    while page := await store.orders.due(NOW_MS + TIMEOUT_MS + 10, 2, after):
        seen += [one.order_sn for one in page]
        after = page[-1]
    assert seen == [o.order_sn for o in orders]


async def test_an_order_with_an_open_refund_is_not_due_until_the_refund_ended(engine: Engine) -> None:
    store = engine.store
    order = await added(store)
    payment = await opened(store, order)
    await paid(store, order, payment)
    await store.orders.change(
        order.order_sn, lambda o: o.ship("SF", "1", BUYER, NOW_MS, auto_confirm_ms=WEEK_MS)
    )
    over_ms = NOW_MS + WEEK_MS
    assert await due(store, over_ms) == [order.order_sn]
    refund = Refund("R1", payment.payment_sn, order.order_sn, 1, RefundState.REQUESTED, "", False, NOW_MS)

    def asked_for(o: Order) -> None:
        o.refunds[refund.refund_sn] = refund
        o._record("refund.requested", SYSTEM, NOW_MS, {})

    def rejected(o: Order) -> None:
        o.refunds[refund.refund_sn] = refund.to(RefundState.REJECTED)
        o._record("refund.rejected", SYSTEM, NOW_MS, {})

    stored, _ = await store.orders.change(order.order_sn, asked_for)
    assert (stored.refund_status, stored.status) == (RefundStatus.OPEN, OrderStatus.SHIPPED)
    assert await due(store, over_ms) == []
    assert [one.count for one in await store.backlog.overdue(over_ms) if one.what == "order"] == [0]
    await store.orders.change(order.order_sn, rejected)
    assert await due(store, over_ms) == [order.order_sn]


async def test_an_order_that_was_removed_hides_not_where_others_stand(engine: Engine) -> None:
    store = engine.store
    bad, good = [await added(store) for _ in range(2)]
    engine.sql("DELETE FROM order_info WHERE order_sn = ?", bad.order_sn)
    found = await store.orders.statuses_or_tombstones([bad.order_sn, good.order_sn, "S404"], NOW_MS)
    why = found[bad.order_sn]
    assert isinstance(why, UnreadableRow)
    assert why.number == bad.order_sn
    assert found[good.order_sn] == OrderStanding(OrderStatus.PENDING, good.expire_ms)
    assert found["S404"] is None


def test_where_an_order_of_a_newer_version_stands_is_not_known() -> None:
    why = rows.or_error(rows.standing_of, ("S1", 6, NOW_MS, ""))
    assert isinstance(why, UnreadableRow)
    assert why.number == "S1"
