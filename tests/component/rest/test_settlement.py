"""What the providers pay out, for operators only."""

from __future__ import annotations

import pytest

from shop_order.domain.bill import DAY_MS, BillLine, first_ms
from tests.component.rest.front import Rest, admin, refused
from tests.world.bills import ALIPAY, DAY, Desk, paid_at, reconciling
from tests.world.shop import World

PATH = "/admin/stats/settlement"


async def test_a_reconciled_day_to_the_fen(rest: Rest, world: World) -> None:
    line = await paid_at(world, first_ms(DAY) + DAY_MS // 2)
    desk = Desk({DAY: [BillLine(line.payment_sn, line.trade_no, line.amount_fen, fee_fen=12)]})
    await reconciling(world, desk).reconcile(ALIPAY, DAY)
    found = await rest.data("GET", f"{PATH}?start={DAY}&end={DAY}", as_=admin())
    sums = {
        "payments": 1,
        "gross_amount": "19.99",
        "gross_fen": 1999,
        "refunds": 0,
        "refunded_amount": "0.00",
        "refunded_fen": 0,
        "fee_amount": "0.12",
        "fee_fen": 12,
        "discount_amount": "0.00",
        "discount_fen": 0,
        "net_amount": "19.87",
        "net_fen": 1987,
        "our_gross_amount": "19.99",
        "our_gross_fen": 1999,
        "our_refunded_amount": "0.00",
        "our_refunded_fen": 0,
        "differences": 0,
    }
    assert found == {
        "start": str(DAY),
        "end": str(DAY),
        "complete": True,
        "days": [sums | {"day": str(DAY), "payment_type": "alipay", "state": "reconciled"}],
        "by_channel": [sums | {"payment_type": "alipay"}],
    }
    none = await rest.data("GET", f"{PATH}?start={DAY}&end={DAY}&payment_type=wechat", as_=admin())
    assert (none["days"], none["by_channel"]) == ([], [])
    refused(await rest.call("GET", PATH), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    "query", ["start=2026-11-19&end=2026-11-18", "start=2024-11-17", "payment_type=paypal", "channel=alipay"]
)
async def test_a_question_that_can_not_be_answered_is_refused(rest: Rest, query: str) -> None:
    refused(await rest.call("GET", f"{PATH}?{query}", as_=admin()), 400, "INVALID_ARGUMENT")
