"""What providers answer about a refund, more than once."""

from __future__ import annotations

from shop_order.domain.entity import after_sales
from shop_order.domain.status import RefundState
from tests.unit.domain.orders import ADMIN, NOW_MS
from tests.unit.domain.test_after_sales import approve, ask, shipped


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
