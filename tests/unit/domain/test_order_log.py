"""From events to entries, and from entries to the facts that are counted."""

from __future__ import annotations

import json

import pytest

from shop_order.domain.event import order_events as events
from shop_order.domain.event.order_events import GENESIS, Event, Happened, seal
from shop_order.domain.order_log import OrderSummary, day_of, entry_of, log_updates

SN = "261121080000000000000000001"
PLAIN = {"user_id": 7, "old_status": 1, "new_status": 1, "operator": "user", "operator_id": 7, "reason": ""}
MIDNIGHT_MS = 1_795_190_400_000  # 2026-11-21T00:00:00+08:00


def event(version: int, type: str, order_sn: str = SN, **data: object) -> Event:
    """One link of an order's chain."""
    payload = events.payload(PLAIN | {"version": version} | data)
    return seal(
        Happened(version, type, payload, MIDNIGHT_MS), id=version, order_sn=order_sn, prev_hash=GENESIS
    )


def folded(*told: Event, known: OrderSummary | None = None) -> OrderSummary:
    """The facts after these events."""
    (chapter,), unreadable = log_updates(told, {known.order_sn: known} if known else {})
    assert not unreadable
    return chapter.summary


CREATED = event(1, events.ORDER_CREATED, old_status=0, pay_fen=1999)
OPENED = event(2, events.PAYMENT_OPENED, payment_sn="P1", payment_type=2, amount_fen=1999)
PAID = event(3, events.ORDER_PAID, new_status=2, payment_sn="P2", payment_type=1, pay_fen=1999)
BACK = event(4, events.REFUND_SUCCEEDED, new_status=2, payment_sn="P2", refund_sn="R", amount_fen=999)


def test_an_entry_has_the_specifications_fields_and_the_rest_as_details() -> None:
    entry = entry_of(PAID)
    assert (entry.id, entry.order_sn, entry.version, entry.user_id) == (3, SN, 3, 7)
    assert (entry.action, entry.old_status, entry.new_status, entry.at_ms) == ("pay", 1, 2, MIDNIGHT_MS)
    assert entry.details == {"payment_sn": "P2", "payment_type": 1, "pay_fen": 1999}


def test_facts_follow_the_story() -> None:
    assert folded(CREATED) == OrderSummary(SN, 1, 7, "2026-11-21", 1, "", "", 1999)
    assert folded(CREATED, OPENED).channel == "wechat"
    assert folded(CREATED, OPENED, PAID, BACK) == OrderSummary(
        SN, 4, 7, "2026-11-21", 2, "alipay", "P2", 1999, 1999, 999
    )
    assert folded(PAID, BACK, known=folded(CREATED, OPENED)) == folded(CREATED, OPENED, PAID, BACK)


def refund(version: int, type: str, reason: str = "", payment_sn: str = "P1") -> Event:
    """A step of a refund of the whole payment."""
    return event(version, type, payment_sn=payment_sn, refund_sn="R1", amount_fen=1999, reason=reason)


@pytest.mark.parametrize("reason", ["LATE_PAYMENT", "DUPLICATE_PAYMENT"])
def test_surplus_money_and_its_way_back_count_on_both_sides(reason: str) -> None:
    asked = refund(5, events.REFUND_REQUESTED, reason)
    approved = refund(6, events.REFUND_APPROVED, reason)
    sent, back = refund(7, events.REFUND_SENT, reason), refund(8, events.REFUND_SUCCEEDED, reason)
    before = folded(CREATED, PAID).paid_fen
    came = folded(CREATED, PAID, asked, approved, sent)
    assert (came.paid_fen, came.refunded_fen) == (before + 1999, 0)
    gone = folded(CREATED, PAID, asked, approved, sent, back)
    assert (gone.paid_fen, gone.refunded_fen) == (before + 1999, 1999)
    late = folded(CREATED, OPENED, asked)
    assert (late.paid_fen, late.channel) == (1999, "wechat"), "also where nothing else was ever paid"


def test_a_refund_that_a_buyer_asked_for_is_no_money_that_came() -> None:
    asked = refund(5, events.REFUND_REQUESTED, "NOT_WANTED", payment_sn="P2")
    assert folded(CREATED, PAID, asked).paid_fen == 1999


def test_an_attempt_after_the_money_changes_no_channel() -> None:
    later = event(4, events.PAYMENT_OPENED, payment_sn="P3", payment_type=2, amount_fen=1999)
    assert folded(CREATED, PAID, later).channel == "alipay"


def test_a_chapter_begins_after_what_was_known() -> None:
    (chapter,), _ = log_updates([PAID], {SN: OrderSummary(SN, 2)})
    assert (chapter.since, [e.version for e in chapter.entries]) == (2, [3])


@pytest.mark.parametrize(
    "payload",
    [
        b"not json",
        b"[]",
        b"{}",
        json.dumps(PLAIN | {"payment_sn": "P2", "payment_type": 9, "pay_fen": 1}).encode(),
        json.dumps(PLAIN | {"payment_sn": "P2", "payment_type": 1, "pay_fen": "1"}).encode(),
    ],
)
def test_an_altered_event_ends_its_own_orders_chapter_only(payload: bytes) -> None:
    altered = Event(2, SN, 2, events.ORDER_PAID, payload, GENESIS, GENESIS, MIDNIGHT_MS)
    after = event(3, events.ORDER_SHIPPED, new_status=3)
    other = event(1, events.ORDER_CREATED, "9" * 27, pay_fen=5)
    updates, unreadable = log_updates([CREATED, altered, after, other], {})
    assert {c.summary.order_sn: [e.version for e in c.entries] for c in updates} == {SN: [1], "9" * 27: [1]}
    assert [found.version for found, _ in unreadable] == [2]


def test_days_begin_at_midnight_in_china() -> None:
    assert day_of(MIDNIGHT_MS) == "2026-11-21"
    assert day_of(MIDNIGHT_MS - 1) == "2026-11-20"
