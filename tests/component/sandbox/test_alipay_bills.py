"""The simulator's bills: refused as the provider refuses, and as an operator made them differ."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from shop_order.domain.bill import Bill, day_at, first_ms
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import Merchant
from tests.world.bills import alipay_bill

BILL = "alipay.data.dataservice.bill.downloadurl.query"
SELLER = "2088000000000001"
HOUR_MS = 3_600_000


@pytest.fixture
def day(clock: Clock) -> date:
    """Yesterday, at noon of which the provider lives now."""
    day = day_at(clock()) - timedelta(days=1)
    clock.ahead_ms += first_ms(day) + 12 * HOUR_MS - clock()
    return day


async def asked(merchant: Merchant, day: object, kind: str = "trade") -> dict[str, Any]:
    return dict(await merchant.call(BILL, bill_type=kind, bill_date=str(day)))


async def seen(merchant: Merchant, day: date) -> Bill:
    """As fetched from the provider's site."""
    answer = await merchant.client.get(f"{merchant.base}/sim/bills/{day}")
    return alipay_bill(answer.content, day, SELLER)


async def planted(merchant: Merchant, day: object, change: object) -> int:
    answer = await merchant.client.post(f"{merchant.base}/sim/bills/{day}", json=change)
    return int(answer.status_code)


async def test_a_bill_has_what_moved_on_its_day(merchant: Merchant, clock: Clock, day: date) -> None:
    await merchant.open("P1")
    await merchant.open("P2")
    await merchant.act("pay", "P1")
    await merchant.act("scan", "P2")
    clock.ahead_ms += 13 * HOUR_MS
    refund = {"out_trade_no": "P1", "refund_amount": "5.00", "out_request_no": "R1"}
    assert (await merchant.call("alipay.trade.refund", **refund))["code"] == "10000"
    assert [(one.number, one.amount_fen) for one in (await seen(merchant, day)).lines] == [("P1", 1999)]
    (back,) = (await seen(merchant, day + timedelta(days=1))).lines
    assert (back.number, back.payment_sn, back.amount_fen, back.is_refund) == ("R1", "P1", 500, True)


async def test_a_bill_that_is_not_out_or_would_be_empty_does_not_exist(
    merchant: Merchant, clock: Clock, day: date
) -> None:
    await merchant.open("P1")
    await merchant.act("pay", "P1")
    assert (await asked(merchant, day))["sub_code"] == "isp.bill_not_exist"
    clock.ahead_ms += 22 * HOUR_MS
    address = (await asked(merchant, day))["bill_download_url"]
    assert alipay_bill((await merchant.client.get(address)).content, day, SELLER).lines
    assert (await asked(merchant, day - timedelta(days=1)))["sub_code"] == "isp.bill_not_exist"
    assert (await merchant.client.get(address + "x")).status_code == 404
    for wrong, kind in (("2026-13-01", "trade"), ("yesterday", "trade"), (str(day), "signcustomer")):
        assert (await asked(merchant, wrong, kind))["sub_code"] == "isv.invalid-arguments"


async def test_a_bill_may_be_told_to_be_out_and_to_differ(merchant: Merchant, day: date) -> None:
    await merchant.open("P1")
    await merchant.act("pay", "P1")
    book = (await seen(merchant, day)).lines[0]
    assert await planted(merchant, day, {"out": True}) == 200
    assert (await asked(merchant, day))["code"] == "10000"
    for change in ({"amount": "P1", "fen": 7}, {"trade_no": "P1"}, {"again": "P1"}, {"stranger_refund": 3}):
        assert await planted(merchant, day, change) == 200
    one, again, stranger = (await seen(merchant, day)).lines
    assert one == again
    assert (one.number, one.amount_fen) == ("P1", 7)
    assert one.trade_no != book.trade_no
    assert (stranger.amount_fen, stranger.is_refund) == (3, True)
    assert await planted(merchant, day, {"missing": "P1"}) == 200
    assert list((await seen(merchant, day)).lines) == [stranger]


@pytest.mark.parametrize(
    "change",
    [{}, {"amount": "P1"}, {"amount": "P1", "fen": 0}, {"stranger": -1}, {"missing": 5}, {"out": False}],
)
async def test_what_is_no_change_is_refused(merchant: Merchant, day: date, change: dict[str, Any]) -> None:
    assert await planted(merchant, day, change) == 400
    assert await planted(merchant, "yesterday", {"out": True}) == 400
