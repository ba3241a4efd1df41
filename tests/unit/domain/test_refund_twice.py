"""Refunds: what is promised or answered twice."""

from __future__ import annotations

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.refund_errors import NotRefundable
from shop_order.domain.status import RefundState
from tests.unit.domain.orders import ADMIN, NOW_MS, WEEK_MS
from tests.unit.domain.test_after_sales import OTHER_ADMIN, approve, ask, shipped


def test_a_second_answer_that_it_failed_changes_nothing() -> None:
    order = shipped((1, 2))
    sn = approve(order, ask(order, (1, 1))).refund_sn
    after_sales.sent(order, sn, NOW_MS)
    after_sales.failed(order, sn, NOW_MS)
    after_sales.failed(order, sn, NOW_MS)
    after_sales.settle_by_hand(order, sn, ADMIN, NOW_MS, reason="转账")
    after_sales.failed(order, sn, NOW_MS)
    assert order.refunds[sn].state is RefundState.SETTLED
    assert [event.type for event in order.new_events][-3:] == [
        "refund.sent", "refund.failed", "refund.settled",
    ]  # fmt: skip


def test_freight_that_was_promised_to_two_amounts_comes_back_once() -> None:
    order, two = shipped((1, 4), freight_fen=800), RefundRules(WEEK_MS, second_approval_fen=1500)
    first, second = ask(order, fen=1000), ask(order, fen=1000)
    for refund in (first, second):
        after_sales.approve(order, refund.refund_sn, ADMIN, NOW_MS, two, freight_fen=800)
    approved = after_sales.approve(order, first.refund_sn, OTHER_ADMIN, NOW_MS, two)
    assert (approved.amount_fen, approved.freight_fen) == (1800, 800)
    with pytest.raises(NotRefundable, match="more_freight_than_left"):
        after_sales.approve(order, second.refund_sn, OTHER_ADMIN, NOW_MS, two)
