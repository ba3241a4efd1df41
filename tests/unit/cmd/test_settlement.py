"""The settlement as the accounts get it."""

from __future__ import annotations

from datetime import date

from shop_order.cmd.cli.settlement import table
from shop_order.domain.settled_day import DayState, SettledDay, SettledSums
from shop_order.service.upkeep.settled_days import SettlementReport

DAY = date(2026, 11, 1)


def test_the_total_of_a_channel_says_whether_its_own_days_are_complete() -> None:
    alipay, wechat = SettledSums(1, 1999), SettledSums()
    found = SettlementReport(
        DAY,
        DAY,
        [
            SettledDay(DAY, "alipay", DayState.RECONCILED, alipay),
            SettledDay(DAY, "wechat", DayState.BILL_MISSING, wechat),
        ],
        {"alipay": alipay, "wechat": wechat},
        is_complete=False,
    )
    totals = [row for row in table(found) if row[0] == "total"]
    assert [(row[1], row[2]) for row in totals] == [("alipay", "complete"), ("wechat", "incomplete")]
