"""Faults of refunds: each of them pays too much, pays twice, or sends goods that were refunded."""

from __future__ import annotations

from tests.mutants.faults import AFTER_SALES, fault
from tests.mutants.planting import never, skip, swap

REFUND_FAULTS = (
    fault(
        "freight refunded twice",
        AFTER_SALES,
        swap("not_asked_for", "order.pay_fen - goods_fen(order) - freight_fen", "order.freight_fen"),
    ),
    fault(
        "freight added that came back before",
        AFTER_SALES,
        never("approved_amount", "... > freight_left_fen"),
    ),
    fault(
        "freight that came back counts once more",
        AFTER_SALES,
        swap("approved_amount", "min(wanted_fen, freight_left_fen)", "wanted_fen"),
    ),
    fault(
        "a refund above what was paid", AFTER_SALES, never("refund_amounts:amount", "wanted_fen > most_fen")
    ),
    fault(
        "more pieces come back than were sold",
        AFTER_SALES,
        never("lines_of", "line.nums > nums - pieces"),
    ),
    fault(
        "shipped with an open refund",
        AFTER_SALES,
        never("Order._refuse_open_refund", "self.refund_status is RefundStatus.OPEN"),
    ),
    fault(
        "a rejected refund is paid",
        AFTER_SALES,
        swap(
            "after_sales:reject",
            "order.money.move(refund_sn, RefundState.REJECTED, ...)",
            "order.money.move(refund_sn, RefundState.APPROVED)",
        ),
    ),
    fault(
        "the stock of a return is back before it arrives",
        AFTER_SALES,
        swap(
            "Refund.restocks",
            "self.state is RefundState.RETURNED",
            "self.state is RefundState.AWAITING_RETURN",
        ),
    ),
    fault(
        "a second click on cancel counts as another refund",
        AFTER_SALES,
        never("cancel_paid", "waits_for_second_approval(...)"),
    ),
    fault("a refund can't be confirmed again", AFTER_SALES, swap("after_sales:succeeded", "not ...", "True")),
    fault(
        "a return is refunded before its goods arrive",
        AFTER_SALES,
        swap("after_sales:approve", "refund.type is RefundType.RETURN", "False"),
    ),
    fault(
        "a refund that the wallet confirms twice is refused",
        "component/test_wallet_inbox",
        never("service:_succeed", "refund.state is RefundState.SUCCEEDED"),
    ),
    fault(
        "an order is sent whose money was refunded",
        AFTER_SALES,
        skip("_cancel_if_refunded", "order.cancel_refunded(...)"),
    ),
)
