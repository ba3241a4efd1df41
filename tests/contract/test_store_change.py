"""Changing orders on the version that was read; what is asked and refunded when; lists."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import IllegalTransition, OrderNotFound
from shop_order.domain.ports import COUNT_CAP, Cursor, KeyTaken, OrderFilter
from shop_order.domain.status import OrderStatus, PaymentState, RefundState
from shop_order.domain.valueobject.parties import SYSTEM
from shop_order.repository.dao.store import Store
from tests.contract.engine import (
    BUYER,
    NOW_MS,
    TIMEOUT_MS,
    Engine,
    added,
    attempt,
    due,
    key,
    opened,
    order,
    paid,
    sn,
)


async def test_a_change_is_stored_whole(store: Store) -> None:
    new = await added(store)
    payment = await opened(store, new)
    changed = await paid(store, new, payment, NOW_MS + 5)
    found = await store.orders.get(new.order_sn)
    assert found == changed
    assert (found.status, found.version, found.payment_sn) == (OrderStatus.PAID, 3, payment.payment_sn)
    assert found.payments[payment.payment_sn].state is PaymentState.PAID
    assert [e.type for e in await store.orders.history(new.order_sn)] == [
        "order.created",
        "payment.opened",
        "order.paid",
    ]
    assert await store.payments.find(payment.payment_sn) == found.payments[payment.payment_sn]


async def test_what_decide_raises_is_raised_and_nothing_is_stored(engine: Engine) -> None:
    new = await added(engine.store)

    def decide(o: Order) -> None:
        o.cancel("", BUYER, NOW_MS, code="BUYER")
        raise IllegalTransition("A", "B")

    with pytest.raises(IllegalTransition):
        await engine.store.orders.change(new.order_sn, decide, key=key())
    assert (await engine.store.orders.get(new.order_sn)).version == 1
    assert engine.count("idempotency_key") == 0


async def test_deciding_nothing_stores_nothing(engine: Engine) -> None:
    new = await added(engine.store)
    _, seen = await engine.store.orders.change(new.order_sn, lambda o: o.version)
    assert (seen, engine.count("order_event"), engine.count("outbox")) == (1, 1, 1)


async def test_an_unknown_order_is_not_found(store: Store) -> None:
    for work in (
        store.orders.get(sn()),
        store.orders.get_by_id(5),
        store.orders.change(sn(), lambda o: None),
    ):
        with pytest.raises(OrderNotFound):
            await work
    assert await store.payments.find("P0") is None


async def test_of_concurrent_changes_each_sees_the_one_before(store: Store) -> None:
    new = await added(store)
    payment = await opened(store, new)

    def cancel(o: Order) -> None:
        o.cancel("", BUYER, NOW_MS, code="BUYER")

    got = await asyncio.gather(
        paid(store, new, payment), store.orders.change(new.order_sn, cancel), return_exceptions=True
    )
    assert not isinstance(got[0], BaseException)
    found = await store.orders.get(new.order_sn)
    assert found.status is OrderStatus.PAID
    assert isinstance(got[1], Exception)
    assert [e.version for e in await store.orders.history(new.order_sn)] == list(range(1, found.version + 1))


async def test_a_key_of_a_change_leads_to_the_payment(store: Store) -> None:
    new = await added(store)
    payment = attempt(new)

    def decide(o: Order) -> object:
        o.open_attempt(payment, BUYER, NOW_MS)
        return payment

    await store.orders.change(new.order_sn, decide, key=key("p"))
    record = await store.orders.key("7:place", "p", NOW_MS)
    assert record is not None
    assert (record.order_sn, record.payment_sn) == (new.order_sn, payment.payment_sn)
    with pytest.raises(KeyTaken):
        await store.orders.change(
            new.order_sn, lambda o: o.close_attempt(payment.payment_sn, BUYER, NOW_MS), key=key("p")
        )
    found = await store.payments.find(payment.payment_sn)
    assert found is not None
    assert found.is_open


async def test_due_orders_come_longest_overdue_first(store: Store) -> None:
    late, early = await added(store, now_ms=NOW_MS), await added(store, now_ms=NOW_MS - 5)
    assert await due(store, NOW_MS + TIMEOUT_MS) == [early.order_sn, late.order_sn]
    assert await due(store, NOW_MS + TIMEOUT_MS, 1) == [early.order_sn]
    await store.orders.change(early.order_sn, lambda o: o.cancel("", SYSTEM, NOW_MS, code="TIMEOUT"))
    assert await due(store, NOW_MS + TIMEOUT_MS) == [late.order_sn]


# ---- asking and refunding ----


async def test_an_open_attempt_is_asked_about_later_and_later(store: Store) -> None:
    new = await added(store)
    payment = await opened(store, new)
    assert await store.payments.due_queries(NOW_MS + 29_999, 10) == []
    assert await store.payments.due_queries(NOW_MS + 30_000, 10) == [(payment, 0)]
    await store.payments.postpone_query(payment.payment_sn, NOW_MS + 90_000)
    assert await store.payments.due_queries(NOW_MS + 89_999, 10) == []
    assert await store.payments.due_queries(NOW_MS + 90_000, 10) == [(payment, 1)]
    await paid(store, new, payment)
    assert await store.payments.due_queries(NOW_MS + 10**9, 10) == []
    await store.payments.postpone_query(payment.payment_sn, 0)
    assert await store.payments.due_queries(NOW_MS + 10**9, 10) == [], (
        "a settled attempt is never asked about"
    )


async def test_an_attempt_that_was_closed_early_is_asked_about_after_its_link_ended(store: Store) -> None:
    new = await added(store)
    early, late = await opened(store, new), attempt(new)
    await store.orders.change(new.order_sn, lambda o: o.close_attempt(early.payment_sn, BUYER, NOW_MS))
    ((asked, _),) = await store.payments.due_queries(early.grace_end_ms, 10)
    assert isinstance(asked, Payment)
    assert (asked.payment_sn, asked.state) == (early.payment_sn, PaymentState.CLOSED)
    assert await store.payments.due_queries(early.grace_end_ms - 1, 10) == []
    await store.payments.postpone_query(early.payment_sn, early.grace_end_ms + 5)
    assert await store.payments.due_queries(early.grace_end_ms + 4, 10) == []
    for read, at_ms in ((asked, early.grace_end_ms), (early, early.grace_end_ms + 5)):
        await store.payments.stop_queries(read, at_ms)
        assert await store.payments.due_queries(NOW_MS + 10**9, 10), "it has changed since"
    await store.payments.stop_queries(asked, early.grace_end_ms + 5)
    assert await store.payments.due_queries(NOW_MS + 10**9, 10) == []

    def open_and_close(o: Order) -> None:
        o.open_attempt(late, BUYER, NOW_MS)
        o.close_attempt(late.payment_sn, BUYER, late.grace_end_ms)

    await store.orders.change(new.order_sn, open_and_close)
    assert await store.payments.due_queries(NOW_MS + 10**9, 10) == [], "its link had ended"


async def test_an_order_that_is_decided_has_its_open_attempt_asked_about_at_once(store: Store) -> None:
    new = await added(store)
    payment = await opened(store, new)
    await store.orders.change(new.order_sn, lambda o: o.cancel("", BUYER, NOW_MS + 1, code="BUYER"))
    assert await store.payments.due_queries(NOW_MS + 1, 10) == [(payment, 0)]


async def test_surplus_money_is_refunded_under_one_number_until_it_is_back(store: Store) -> None:
    new = await added(store)
    payment = await opened(store, new)
    await store.orders.change(new.order_sn, lambda o: o.cancel("", BUYER, NOW_MS, code="BUYER"))
    late = await paid(store, new, payment)
    (refund,) = late.refunds.values()
    assert await store.payments.due_refunds(NOW_MS - 1, 10) == []
    assert await store.payments.due_refunds(NOW_MS, 10) == [(refund, 0)]
    await store.payments.postpone_refund(refund.refund_sn, NOW_MS + 5_000)
    await store.orders.change(new.order_sn, lambda o: after_sales.sent(o, refund.refund_sn, NOW_MS + 1))
    assert await store.payments.due_refunds(NOW_MS + 4_999, 10) == [], "sending does not reset the wait"
    sent = replace(refund, state=RefundState.SENT)
    assert await store.payments.due_refunds(NOW_MS + 5_000, 10) == [(sent, 1)]
    await store.orders.change(new.order_sn, lambda o: after_sales.succeeded(o, refund.refund_sn, NOW_MS + 2))
    assert await store.payments.due_refunds(NOW_MS + 10**9, 10) == []
    found = await store.orders.get(new.order_sn)
    assert found.payments[payment.payment_sn].state is PaymentState.REFUNDED


async def test_the_tables_allow_one_open_attempt_an_order_and_one_surplus_refund_a_payment(
    engine: Engine,
) -> None:
    new = await added(engine.store)
    await opened(engine.store, new)
    second = attempt(new)

    def force(o: Order) -> None:
        o.payments[second.payment_sn] = second
        o._record("payment.opened", BUYER, NOW_MS, {})

    with pytest.raises(Exception, match=r"UNIQUE|Duplicate entry"):
        await engine.store.orders.change(new.order_sn, force)

    def two_refunds(o: Order) -> None:
        for refund_sn in ("R1", "R2"):
            o.refunds[refund_sn] = Refund(
                refund_sn, second.payment_sn, o.order_sn, 1, RefundState.APPROVED, "", True, NOW_MS
            )
        o._record("refund.approved", BUYER, NOW_MS, {})

    with pytest.raises(Exception, match=r"UNIQUE|Duplicate entry"):
        await engine.store.orders.change(new.order_sn, two_refunds)
    assert engine.count("refund") == 0
    assert engine.count("order_event") == 2


# ---- lists ----


async def listed(store: Store, where: OrderFilter, **how: object) -> list[str]:
    page = await store.orders.list(where, **({"offset": 0, "limit": 10, "after": None} | how))  # type: ignore[arg-type]
    return [o.order_sn for o in page.orders]


async def test_a_list_is_newest_first_and_filtered(store: Store) -> None:
    a, b = await added(store, now_ms=NOW_MS), await added(store, now_ms=NOW_MS + 1)
    c = await added(store, user=8, now_ms=NOW_MS + 2)
    await store.orders.change(a.order_sn, lambda o: o.cancel("", BUYER, NOW_MS + 9, code="BUYER"))
    assert await listed(store, OrderFilter()) == [c.order_sn, b.order_sn, a.order_sn]
    assert await listed(store, OrderFilter(user=7)) == [b.order_sn, a.order_sn]
    assert await listed(store, OrderFilter(user=7, status=OrderStatus.CANCELLED)) == [a.order_sn]
    assert await listed(store, OrderFilter(order_sn=c.order_sn)) == [c.order_sn]
    assert await listed(store, OrderFilter(order_sn="%")) == []
    assert await listed(store, OrderFilter(start_ms=NOW_MS + 1)) == [c.order_sn, b.order_sn]
    assert await listed(store, OrderFilter(start_ms=NOW_MS, end_ms=NOW_MS + 1)) == [a.order_sn]


async def test_a_listed_order_is_whole(store: Store) -> None:
    new = await added(store, (1, 1), (2, 2))
    await paid(store, new, await opened(store, new))
    page = await store.orders.list(OrderFilter(user=7), offset=0, limit=10, after=None)
    whole = await store.orders.get(new.order_sn)
    assert [replace(o, last_hash=whole.last_hash) for o in page.orders] == [whole]


async def test_a_list_may_have_the_first_items_of_each_order_and_says_how_many_there_are(
    store: Store,
) -> None:
    long = await added(store, *((goods, 1) for goods in range(1, 10)), now_ms=NOW_MS + 1)
    short = await added(store, (1, 1), (2, 2), now_ms=NOW_MS)
    page = await store.orders.list(OrderFilter(user=7), offset=0, limit=10, after=None, max_items=5)
    assert [order.items for order in page.orders] == [long.items[:5], short.items]
    assert page.items_total == {long.id: 9, short.id: 2}
    nothing = await store.orders.list(OrderFilter(user=8), offset=0, limit=10, after=None, max_items=5)
    assert (nothing.orders, nothing.items_total) == ([], {})


async def test_pages_and_cursors_show_each_order_once(store: Store) -> None:
    same_moment = [await added(store, now_ms=NOW_MS + n // 3) for n in range(9)]
    newest_first = [o.order_sn for o in sorted(same_moment, key=lambda o: (o.created_ms, o.id), reverse=True)]
    pages = [await listed(store, OrderFilter(), offset=at, limit=4) for at in (0, 4, 8, 12)]
    assert [len(page) for page in pages] == [4, 4, 1, 0]
    assert [*pages[0], *pages[1], *pages[2]] == newest_first
    seen: list[str] = []
    after: Cursor | None = None
    for _ in range(5):
        page = await store.orders.list(OrderFilter(), offset=0, limit=2, after=after)
        seen += [o.order_sn for o in page.orders]
        assert page.total == 9
        after = page.next
        if seen and len(seen) < 9:
            assert after is not None
    assert seen == newest_first
    assert after is None


async def test_counting_ends_at_the_cap(engine: Engine) -> None:
    new = await added(engine.store)
    engine.sql(
        "INSERT INTO order_info (id, user, order_sn, status, address, signer_name, signer_mobile,"
        " created_at, updated_at, province, city, district, total_fen, discount_fen, freight_fen, pay_fen,"
        " expire_ms, payment_sn, cancel_reason, logistics_company, logistics_no, shipped_ms, completed_ms,"
        " refund_status, version)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
        " SELECT 900000 + a.i * 200 + b.i, 9, 'X' || (a.i * 200 + b.i), 1, 'a', 'n', '1', "
        " '2020-01-01 00:00:00.000', '2020-01-01 00:00:00.000', '', '', '', 1, 0, 0,"
        " 1, 0, '', '', '', '', 0, 0, 0, 1 FROM n AS a, n AS b WHERE a.i * 200 + b.i <= ?",
        200 + COUNT_CAP + 5,
    )
    page = await engine.store.orders.list(OrderFilter(), offset=0, limit=1, after=None)
    assert (page.total, page.total_is_capped) == (COUNT_CAP, True)
    assert [o.order_sn for o in page.orders] == [new.order_sn]
    mine = await engine.store.orders.list(OrderFilter(user=7), offset=0, limit=1, after=None)
    assert (mine.total, mine.total_is_capped) == (1, False)


async def test_pay_type_is_empty_until_the_buyer_chooses(engine: Engine) -> None:
    new = await added(engine.store)
    assert engine.sql("SELECT pay_type, pay_time, deleted_at FROM order_info") == [("", None, None)]
    await opened(engine.store, new)
    assert engine.sql("SELECT pay_type FROM order_info") == [("alipay",)]
    assert (await engine.store.orders.get(new.order_sn)).address == order().address
