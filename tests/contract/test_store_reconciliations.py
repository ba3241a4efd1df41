"""What every database promises a reconciliation: a day's money, live or archived, and the result kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from shop_order.domain.bill import BillCursor, DayResult, Difference, Mismatch, Reconciliation, Totals
from shop_order.domain.entity import after_sales
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.ports import Fence, LeaseLost
from shop_order.domain.settled_day import StoredDay
from shop_order.domain.status import PaymentType, RefundState
from shop_order.repository.dao.store import Store
from tests.contract.archived import LATER_MS, archive_all, cancelled, completed, give_back, late_money
from tests.contract.engine import BUYER, NOW_MS, Engine, added, opened, paid

ALIPAY = PaymentType.ALIPAY
DAY = date(2026, 11, 21)
LEASE = "reconcile"


def result(day: date = DAY, differences: int = 0, **more: object) -> Reconciliation:
    """Of a day."""
    shown = [
        Difference(Mismatch.UNKNOWN_PAYMENT, f"P{n}", "", 0, 5, "", "T" * 64) for n in range(differences)
    ]
    return Reconciliation(
        ALIPAY, day, Totals(3, 300, 1, 50), Totals(4, 305, 1, 50), differences, shown, 2, 1, "d" * 64, NOW_MS,
        fee_fen=6, discount_fen=4,
    )  # fmt: skip


async def fence(store: Store) -> Fence:
    assert await store.leases.hold(LEASE)
    return store.leases.fence(LEASE)


async def numbers(store: Store, begin_ms: int, before_ms: int, limit: int = 2) -> list[str]:
    """Of all paid attempts of a span, page by page."""
    found: list[str] = []
    after = BillCursor(begin_ms)
    while page := await store.reconciliations.paid(ALIPAY, after, before_ms, limit):
        found += [one.payment_sn for one in page]
        after = BillCursor(page[-1].paid_ms, page[-1].payment_sn)
    return found


async def test_paid_attempts_of_a_span_come_in_order_of_time(store: Store) -> None:
    at: dict[int, str] = {}
    for ms in (5, 1, 3, 4, 2):
        new = await added(store)
        payment = await opened(store, new)
        await paid(store, new, payment, NOW_MS + ms)
        at[ms] = payment.payment_sn
    await opened(store, await added(store))
    assert await numbers(store, NOW_MS + 1, NOW_MS + 5) == [at[1], at[2], at[3], at[4]]
    wechat = await store.reconciliations.paid(PaymentType.WECHAT, BillCursor(0), NOW_MS + 99, 10)
    assert list(wechat) == []


async def test_many_of_one_moment_are_each_told_once(store: Store) -> None:
    all_: set[str] = set()
    for _ in range(5):
        new = await added(store)
        payment = await opened(store, new)
        await paid(store, new, payment)
        all_.add(payment.payment_sn)
    found = await numbers(store, NOW_MS, NOW_MS + 1)
    assert (len(found), set(found)) == (5, all_)


async def test_archived_money_counts_as_well(store: Store) -> None:
    live = await completed(store)
    old = await completed(store)
    surplus = await give_back(store, await late_money(store, await cancelled(store)))
    (refund,) = surplus.refunds.values()
    before = await numbers(store, NOW_MS, LATER_MS + 1)
    assert len(before) == 3
    backs = list(await store.reconciliations.refunded(ALIPAY, BillCursor(LATER_MS), LATER_MS + 1, 10))
    assert [one.refund_sn for one in backs] == [refund.refund_sn]
    await archive_all(store, now_ms=LATER_MS * 2)
    assert await numbers(store, NOW_MS, LATER_MS + 1) == before
    assert list(await store.reconciliations.refunded(ALIPAY, BillCursor(LATER_MS), LATER_MS + 1, 10)) == backs
    known = await store.reconciliations.payments([live.payment_sn, old.payment_sn, "P-unknown"])
    assert known[old.payment_sn].trade_no == f"T{old.payment_sn}"
    assert set(known) == {live.payment_sn, old.payment_sn}
    assert await store.reconciliations.refunds([refund.refund_sn, "R-unknown"]) == {
        refund.refund_sn: backs[0]
    }


async def test_a_refund_that_failed_or_is_of_another_channel_is_none(store: Store) -> None:
    await give_back(store, await late_money(store, await cancelled(store)), ends=RefundState.FAILED)
    assert list(await store.reconciliations.refunded(ALIPAY, BillCursor(0), LATER_MS + 1, 10)) == []
    await give_back(store, await late_money(store, await cancelled(store)))
    assert len(await store.reconciliations.refunded(ALIPAY, BillCursor(0), LATER_MS + 1, 10)) == 1
    assert (
        list(await store.reconciliations.refunded(PaymentType.WECHAT, BillCursor(0), LATER_MS + 1, 10)) == []
    )


@pytest.mark.parametrize("archived", [False, True])
async def test_an_unpaid_attempt_is_asked_about_again_wherever_it_lies(
    engine: Engine, archived: bool
) -> None:
    store = engine.store
    order = await cancelled(store)
    (payment,) = order.payments.values()
    if archived:
        assert await archive_all(store) == 1
    assert list(await store.payments.due_queries(LATER_MS, 10)) == []
    await store.reconciliations.request_query(payment.payment_sn, LATER_MS)
    ((asked, tries),) = await store.payments.due_queries(LATER_MS, 10)
    assert isinstance(asked, Payment)
    assert (asked.payment_sn, tries) == (payment.payment_sn, 0)
    assert await archive_all(store) == 0, "it stays until the provider has answered"
    assert engine.count("order_info") == 1
    await store.reconciliations.request_query("P-unknown", LATER_MS)


async def failed_refund(store: Store) -> Refund:
    """Refused by the provider; nobody asks about it."""
    order = await give_back(store, await late_money(store, await cancelled(store)), ends=RefundState.FAILED)
    (refund,) = order.refunds.values()
    assert list(await store.payments.due_refunds(LATER_MS, 10)) == []
    return refund


async def test_a_failed_refund_is_asked_about_until_that_is_stopped(store: Store) -> None:
    refund = await failed_refund(store)
    await store.reconciliations.request_refund(refund.out_refund_no, LATER_MS)
    assert list(await store.payments.due_refunds(LATER_MS - 1, 10)) == []
    assert list(await store.payments.due_refunds(LATER_MS, 10)) == [(refund, 0)]
    await store.payments.postpone_refund(refund.refund_sn, LATER_MS + 5)
    assert list(await store.payments.due_refunds(LATER_MS + 5, 10)) == [(refund, 1)]
    await store.payments.stop_refund(refund.refund_sn, LATER_MS)
    assert len(await store.payments.due_refunds(LATER_MS + 5, 10)) == 1, "postponed meanwhile"
    await store.payments.stop_refund(refund.refund_sn, LATER_MS + 5)
    assert list(await store.payments.due_refunds(LATER_MS + 5, 10)) == []
    await store.reconciliations.request_refund("R-unknown", LATER_MS)


async def test_a_failed_refund_that_succeeded_after_all_is_asked_about_no_more(store: Store) -> None:
    refund = await failed_refund(store)
    await store.reconciliations.request_refund(refund.out_refund_no, LATER_MS)

    def end(order: Order) -> None:
        after_sales.succeeded(order, refund.refund_sn, LATER_MS)

    await store.orders.change(refund.order_sn, end)
    assert list(await store.payments.due_refunds(LATER_MS, 10)) == []
    found = await store.reconciliations.refunds([refund.out_refund_no])
    assert found[refund.out_refund_no].state is RefundState.SUCCEEDED


async def test_a_refund_is_known_by_the_number_that_it_has_at_its_provider(store: Store) -> None:
    refund = await failed_refund(store)

    def again(order: Order) -> None:
        order.money.note(refund.refund_sn, failure="CLOSED")
        sn = refund.refund_sn
        after_sales.send_again(order, sn, BUYER, LATER_MS, closed=sn, out_refund_no="R-new")

    await store.orders.change(refund.order_sn, again)
    assert await store.reconciliations.refunds([refund.refund_sn]) == {}, "that number is closed"
    (known,) = (await store.reconciliations.refunds(["R-new"])).values()
    assert known.refund_sn == refund.refund_sn
    await store.payments.postpone_refund(refund.refund_sn, LATER_MS * 2)
    await store.reconciliations.request_refund("R-new", LATER_MS)
    ((due, tries),) = await store.payments.due_refunds(LATER_MS, 10)
    assert isinstance(due, Refund)
    assert (due.out_refund_no, tries) == ("R-new", 1), "a sent one keeps its number of tries"


@pytest.mark.parametrize("ends", [RefundState.SUCCEEDED, RefundState.SETTLED])
async def test_a_refund_that_is_over_is_not_asked_about(store: Store, ends: RefundState) -> None:
    refund = await failed_refund(store)

    def end(order: Order) -> None:
        if ends is RefundState.SETTLED:
            after_sales.settle_by_hand(order, refund.refund_sn, BUYER, LATER_MS, reason="bank transfer")
        else:
            after_sales.succeeded(order, refund.refund_sn, LATER_MS)

    await store.orders.change(refund.order_sn, end)
    await store.reconciliations.request_refund(refund.out_refund_no, LATER_MS)
    assert list(await store.payments.due_refunds(LATER_MS, 10)) == []
    by_provider = await store.reconciliations.refunded(ALIPAY, BillCursor(0), LATER_MS + 1, 10)
    assert len(by_provider) == (ends is RefundState.SUCCEEDED), "what was settled by hand is in no bill"


async def test_who_was_paid_is_not_asked_about(store: Store) -> None:
    order = await completed(store)
    await store.reconciliations.request_query(order.payment_sn, NOW_MS)
    assert list(await store.payments.due_queries(LATER_MS, 10)) == []


async def test_a_result_is_kept_in_place_of_an_earlier_one(engine: Engine) -> None:
    store, reconciliations = engine.store, engine.store.reconciliations
    assert await reconciliations.days(ALIPAY, DAY) == {}
    await reconciliations.keep(result(differences=200), await fence(store))
    await reconciliations.keep(result(date(2026, 11, 20), differences=7), await fence(store))
    assert await reconciliations.days(ALIPAY, DAY) == {DAY: DayResult(DAY, 200, NOW_MS)}
    assert await reconciliations.days(PaymentType.WECHAT, DAY) == {}
    both = await reconciliations.days(ALIPAY, date(2026, 11, 20))
    assert {day: one.differences for day, one in both.items()} == {DAY: 200, date(2026, 11, 20): 7}
    ((told,),) = engine.sql("SELECT detail FROM reconciliation WHERE day = '2026-11-21'")
    shown = json.loads(str(told))
    assert len(shown) == 80
    assert (shown[0]["kind"], shown[0]["theirs_fen"]) == ("unknown_payment", 5)
    await reconciliations.keep(result(), await fence(store))
    assert (await reconciliations.days(ALIPAY, DAY))[DAY].differences == 0
    assert engine.sql(
        "SELECT channel, our_trades, our_paid_fen, our_refunds, our_refunded_fen, bill_trades, bill_paid_fen,"
        " bill_refunds, bill_refunded_fen, settled, waiting, digest, created_ms FROM reconciliation"
        " WHERE day = '2026-11-21'"
    ) == [("alipay", 3, 300, 1, 50, 4, 305, 1, 50, 2, 1, "d" * 64, NOW_MS)]


async def test_the_results_of_a_span_come_back_whole(engine: Engine) -> None:
    store = engine.store
    before, after = date(2026, 11, 20), date(2026, 11, 22)
    for one in (result(before), result(DAY, 3), result(after)):
        await store.reconciliations.keep(one, await fence(store))
    await store.reconciliations.keep(
        replace(result(DAY), channel=PaymentType.WECHAT, fee_fen=-7), await fence(store)
    )
    found = {one.channel: one for one in await store.reconciliations.results(DAY, DAY)}
    assert found["alipay"] == StoredDay(
        "alipay", DAY, Totals(3, 300, 1, 50), Totals(4, 305, 1, 50), 6, 4, 3, NOW_MS
    )
    assert (found["wechat"].fee_fen, found["wechat"].differences) == (-7, 0)
    assert len(found) == 2
    assert len(await store.reconciliations.results(before, after)) == 4
    engine.sql("UPDATE reconciliation SET bill_fee_fen = NULL, bill_discount_fen = NULL")
    assert {one.fee_fen for one in await store.reconciliations.results(before, after)} == {None}


async def test_a_lease_that_is_not_ours_keeps_nothing(engine: Engine) -> None:
    held = await fence(engine.store)
    with pytest.raises(LeaseLost):
        await engine.store.reconciliations.keep(result(), Fence(LEASE, held.number + 1))
    assert engine.count("reconciliation") == 0
