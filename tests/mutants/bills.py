"""Faults in the reconciliation with providers' bills, and in the settlement of days."""

from __future__ import annotations

from tests.mutants.faults import fault
from tests.mutants.planting import never, reword, swap

BILL = "domain/test_bill"
MISSED = "test_missed_money"
DAYS = "test_settled_days"
STORE = "test_store_reconciliations"

BILL_FAULTS = (
    fault(
        "a closed attempt that the bill has as paid is not asked about",
        MISSED,
        swap("DayComparison._payments", "payment and not is_paid", "payment and payment.is_open"),
    ),
    fault(
        "a refund whose answer was lost is not asked about",
        MISSED,
        swap("is_lost", "refund.state in ASKED_REFUND", "refund.state is RefundState.FAILED"),
    ),
    fault(
        "a failed refund is sent again because a bill has it",
        MISSED,
        never("Settlement._send", "refund.state is RefundState.FAILED"),
    ),
    fault(
        "a bill that lies has the provider asked for ever",
        MISSED,
        swap(
            "Settlement._refund",
            "tries >= len(REFUND_BACKOFF_MS) - 1 or result in FAILURES",
            "result in FAILURES",
        ),
    ),
    fault(
        "a refund that was settled by hand agrees with one in the bill",
        MISSED,
        swap("compare_refund", "is_done or ...", "is_done or refund.state is RefundState.SETTLED or ..."),
    ),
    fault(
        "a refund that failed at the provider agrees with one that succeeded",
        BILL,
        never("compare_refund", "refund and is_done"),
    ),
    fault("money of another currency is in the sums", BILL, never("compare_payment", "line.currency != CNY")),
    fault(
        "a fee that came back counts as taken",
        BILL,
        swap("Comparison._add_fees", "self.fee_fen += line.fee_fen", "self.fee_fen += abs(line.fee_fen)"),
    ),
    fault(
        "a number that the bill repeats is new",
        "service/test_reconciliation",
        swap("DiskSet.add", "... == 1", "True"),
    ),
    fault(
        "a refund is looked up by a number that its provider closed",
        STORE,
        reword("Reconciliations.refunds", "WHERE out_refund_no IN", "WHERE refund_sn IN"),
    ),
    fault(
        "a refund that was settled by hand is looked for in the bill",
        STORE,
        reword("REFUNDED", "r.state = 'succeeded'", "r.state IN ('succeeded', 'settled')"),
    ),
    fault("a day that differs counts as reconciled", DAYS, never("StoredDay.state", "self.differences")),
    fault(
        "a day that was compared before its end counts as reconciled",
        DAYS,
        swap("StoredDay.state", "self.created_ms < ... or ...", "self.fee_fen is None"),
    ),
    fault(
        "what our vouchers paid counts as paid out",
        DAYS,
        swap("SettledSums.net_fen", "... - self.discount_fen", "..."),
    ),
    fault(
        "a spreadsheet runs a cell", "test_csv_text", never("safe_cell", "text.lstrip(...).startswith(...)")
    ),
)
