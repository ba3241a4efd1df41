"""The order log and its figures, for operators only."""

from __future__ import annotations

import pytest

from tests.component.rest.front import Rest, admin, refused
from tests.world.shop import World

DAY = "2026-11-18"  # of the world's clock, in China


async def publish(world: World) -> None:
    """Events reach the log."""
    while await world.relay.run_once():
        pass
    while await world.order_log.run_once():
        pass


async def test_an_orders_log_says_who_did_what(rest: Rest) -> None:
    order_sn = (await rest.paid())["order_sn"]
    refused(await rest.call("GET", f"/admin/orders/{order_sn}/logs"), 403, "FORBIDDEN")
    found = await rest.data("GET", f"/admin/orders/{order_sn}/logs", as_=admin())
    assert found["order_sn"] == order_sn
    assert [(e["version"], e["action"], e["operator"]) for e in found["logs"]] == [
        (1, "create", "user"),
        (2, "payment.opened", "user"),
        (3, "pay", "system"),
    ]
    paid = found["logs"][-1]
    assert (paid["old_status"], paid["new_status"], paid["operator_id"]) == (1, 2, "0")
    assert paid["details"]["pay_fen"] == 3998
    assert paid["at"].endswith("+08:00")


async def test_an_unknown_order_has_no_log(rest: Rest) -> None:
    unknown = "261121080000000000000000011"
    answer = await rest.call("GET", f"/admin/orders/{unknown}/logs", as_=admin())
    assert answer.status_code in (400, 404), answer.text


async def test_figures_add_up(rest: Rest, world: World) -> None:
    await rest.paid()
    await rest.placed()
    waiting = await rest.data("GET", "/admin/stats/orders", as_=admin())
    assert (waiting["total"]["orders"], waiting["waiting_events"], waiting["complete"]) == (0, 4, False)
    await publish(world)
    await publish(world)
    found = await rest.data("GET", f"/admin/stats/orders?start={DAY}&end={DAY}", as_=admin())
    assert (found["start"], found["end"]) == (DAY, DAY)
    sums = {
        "orders": 2,
        "amount": "79.96",
        "amount_fen": 7996,
        "paid_amount": "39.98",
        "paid_fen": 3998,
        "refunded_amount": "0.00",
        "refunded_fen": 0,
        "net_amount": "39.98",
        "net_fen": 3998,
    }
    assert found["total"] == sums
    assert found["by_day"] == [sums | {"day": DAY}]
    assert [(c["payment_type"], c["orders"]) for c in found["by_channel"]] == [("", 1), ("alipay", 1)]
    assert [(s["status"], s["status_text"], s["paid_fen"]) for s in found["by_status"]] == [
        (1, "待支付", 0),
        (2, "已支付", 3998),
    ]
    assert (found["waiting_events"], found["complete"]) == (0, True)
    refused(await rest.call("GET", "/admin/stats/orders"), 403, "FORBIDDEN")


async def test_a_month_unless_days_are_named(rest: Rest) -> None:
    found = await rest.data("GET", "/admin/stats/orders", as_=admin())
    assert (found["start"], found["end"]) == ("2026-10-20", DAY)


@pytest.mark.parametrize(
    "query",
    [
        "start=2026-11-19&end=2026-11-18",
        "start=2025-11-17&end=2026-11-18",
        "start=2026-02-30",
        "end=20261118",
    ],
)
async def test_days_that_cant_be_are_refused(rest: Rest, query: str) -> None:
    answer = await rest.call("GET", f"/admin/stats/orders?{query}", as_=admin())
    refused(answer, 400, "INVALID_ARGUMENT")


async def test_the_longest_span_is_a_leap_year(rest: Rest) -> None:
    found = await rest.data("GET", "/admin/stats/orders?start=2025-11-18&end=2026-11-18", as_=admin())
    assert (found["start"], found["end"]) == ("2025-11-18", "2026-11-18")
