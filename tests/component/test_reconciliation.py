"""The whole Shop against the bill of the provider's simulator: real protocol, real files, real signatures."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from shop_order.domain.bill import Mismatch, first_ms
from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import BillNotOut, BillUnusable
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.alipay import bills
from shop_order.gateway.payment.bill_files import MAX_PACKED
from shop_order.service.upkeep.reconcile import CATCH_UP_DAYS
from tests.billed import HOUR_MS, BilledShop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")
BILL = "alipay.data.dataservice.bill.downloadurl.query"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[BilledShop]:
    async with BilledShop(tmp_path) as running:
        yield running


async def told(shop: BilledShop) -> list[tuple[Mismatch, str, int, int]]:
    result = await shop.reconciled()
    return [(one.kind, one.number, one.ours_fen, one.theirs_fen) for one in result.shown]


async def test_a_day_of_payments_and_refunds_agrees(shop: BilledShop) -> None:
    await shop.paid(nums=2)
    await shop.paid(8)
    await shop.refunded()
    unpaid = await shop.place()
    await shop.open_attempt(unpaid["order_sn"])
    shop.day_is_over()
    result = await shop.reconciled()
    assert (result.differences, result.settled, result.waiting, len(result.digest)) == (0, 0, 0, 64)
    assert (result.ours.trades, result.ours.refunds) == (3, 1)
    assert result.ours == result.theirs
    await shop.check_doctor()


async def test_the_bill_is_out_at_ten_of_the_next_day_and_its_address_lives_for_half_a_minute(
    shop: BilledShop,
) -> None:
    await shop.paid()
    shop.provider_is_at(first_ms(shop.day) + (24 + 10) * HOUR_MS - 5_000)
    with pytest.raises(BillNotOut):
        await shop.core.channels[PaymentType.ALIPAY].bills.bill(shop.day, print)
    shop.day_is_over()
    address = await shop.core.channels[PaymentType.ALIPAY].bills.url(shop.day)
    assert (await shop.provider.get(address)).status_code == 200
    shop.ahead_ms += 30_000
    assert (await shop.provider.get(address)).status_code == 404


async def test_each_planted_difference_is_named(shop: BilledShop) -> None:
    one, two, three, four = [(await shop.paid(nums=n))["order_sn"] for n in (1, 2, 3, 4)]
    sns = {sn: (await shop.payment(sn)) for sn in (one, two, three, four)}
    back = await shop.refunded()
    back_sn = await shop.refund_sn(back)
    numbers = {sn: str(data["payment_sn"]) for sn, data in sns.items()}
    fen = {sn: int(data["amount_fen"]) for sn, data in sns.items()}
    shop.day_is_over()
    await shop.plant(missing=numbers[one])
    await shop.plant(amount=numbers[two], fen=fen[two] - 1)
    await shop.plant(trade_no=numbers[three])
    await shop.plant(again=numbers[four])
    await shop.plant(amount=back_sn, fen=1)
    await shop.plant(stranger=777)
    await shop.plant(stranger_refund=55)
    found = await told(shop)
    strangers = {number for _, number, *_ in found if number.startswith("STRANGER")}
    back_fen = int((await shop.provider.get(f"/alipay/sim/{back['payment_sn']}")).json()["amount_fen"])
    assert len(strangers) == 2
    assert sorted((kind, ours, theirs) for kind, _, ours, theirs in found) == sorted(
        [
            (Mismatch.NOT_IN_BILL, fen[one], 0),
            (Mismatch.AMOUNT, fen[two], fen[two] - 1),
            (Mismatch.TRADE_NO, fen[three], fen[three]),
            (Mismatch.TWICE_IN_BILL, 0, fen[four]),
            (Mismatch.REFUND_AMOUNT, back_fen, 1),
            (Mismatch.UNKNOWN_PAYMENT, 0, 777),
            (Mismatch.UNKNOWN_REFUND, 0, 55),
        ]
    )
    assert {number for _, number, *_ in found} == {*numbers.values(), back_sn, *strangers}


async def test_a_payment_whose_notice_was_lost_is_healed(shop: BilledShop) -> None:
    order_sn = await shop.unheard()
    assert (await shop.order(order_sn))["status"] == 1
    shop.day_is_over()
    result = await shop.reconciled()
    assert (result.differences, result.settled, result.ours.trades) == (0, 1, 1)
    assert (await shop.order(order_sn))["status"] == 2
    await shop.check_doctor()


@pytest.mark.parametrize(("fault", "raised"), [("unknown", DependencyDown), ("down", DependencyDown)])
async def test_a_provider_that_is_away_is_no_difference(
    shop: BilledShop, fault: str, raised: type[Exception]
) -> None:
    await shop.paid()
    shop.day_is_over()
    wanted = {"method": BILL, "fault": fault, "times": 1}
    assert (await shop.provider.post("/alipay/sim/faults", json=wanted)).status_code == 200
    with pytest.raises(raised):
        await shop.reconciled()
    assert (await shop.reconciled()).differences == 0


class Answers(httpx.AsyncBaseTransport):
    """What somebody else answers for the bill; all else goes its way."""

    def __init__(self, status_code: int, content: bytes = b"", **headers: str) -> None:
        self._answer = (status_code, headers)
        self._content = content
        self._real = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/alipay/bill":
            assert request.headers["accept-encoding"] == "identity"
            status_code, headers = self._answer
            return httpx.Response(status_code, headers=headers, content=self._pieces())
        return await self._real.handle_async_request(request)

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._content


@pytest.mark.parametrize(
    ("answer", "raised", "why"),
    [
        (Answers(302, location="http://127.0.0.1:1/"), DependencyDown, "302"),
        (Answers(500), DependencyDown, "500"),
        (Answers(200, b"PK\x03\x04 half a zip"), BillUnusable, "unpacked"),
        (Answers(200, b"x" * 1_000_001), BillUnusable, "larger than 1000000 bytes"),
        (Answers(200, b"<html>busy</html>"), BillUnusable, "no column"),
        (Answers(200, gzip.compress(b"x" * 70_000_000), **{"content-encoding": "gzip"}), BillUnusable, "GBK"),
    ],
)
async def test_what_is_no_bill_is_not_compared(
    shop: BilledShop,
    answer: Answers,
    raised: type[Exception],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MAX_PACKED == 256 * 1024 * 1024
    monkeypatch.setattr(bills, "MAX_PACKED", 1_000_000)
    await shop.paid()
    shop.day_is_over()
    provider = shop.core.channels[PaymentType.ALIPAY]._gateway.http
    provider._client = httpx.AsyncClient(transport=answer, timeout=5)
    with pytest.raises(raised, match=why):
        await shop.reconciled()
    assert await shop.core.store.reconciliations.days(PaymentType.ALIPAY, shop.day) == {}


async def test_the_job_reconciles_and_tells_operators(shop: BilledShop) -> None:
    await shop.paid()
    shop.day_is_over()
    await shop.plant(stranger=777)
    assert shop.app is not None
    jobs = shop.app._jobs
    shop.core.reconciliation.real_clock = lambda: first_ms(shop.day) + (24 + 11) * HOUR_MS
    shop.core.reconciliation._not_before.clear()  # it may have asked for this bill before it was out
    for _ in range(CATCH_UP_DAYS):
        await jobs._reconcile()
    await jobs._measure_reconciliation()
    metrics = (await shop.http.get("/metrics")).text
    assert 'shop_order_reconciliation_differences{channel="alipay"} 1.0' in metrics
    assert 'shop_order_reconciliation_age_seconds{channel="alipay"} 39600.0' in metrics
