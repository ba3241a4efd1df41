"""How far a large bill is: told now and then, to the log by the job and to the operator by the command."""

from __future__ import annotations

import pytest

from shop_order.domain.bill import DAY_MS, first_ms
from shop_order.service.upkeep import day_comparison, reconcile
from shop_order.service.upkeep.bill_progress import Pace, Progress, Step
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.world.bills import ALIPAY, DAY, Desk, paid_at
from tests.world.shop import World


def test_it_is_told_once_a_second_with_the_pace_of_its_step() -> None:
    now_s, told = [100.0], list[Progress]()
    pace = Pace(ALIPAY, DAY, told.append, 1.0, lambda: now_s[0])
    pace.at(Step.READING, 500)
    now_s[0] += 0.9
    pace.at(Step.READING, 1000)
    assert told == [], "a small bill is over before the first time"
    now_s[0] += 0.1
    pace.at(Step.READING, 1500)
    pace.at(Step.READING, 2000)
    now_s[0] += 5
    pace.at(Step.COMPARING, 0, 6000)
    now_s[0] += 2
    pace.at(Step.COMPARING, 3000, 6000)
    assert told == [
        Progress(ALIPAY, DAY, Step.READING, 1500, 0, 1500),
        Progress(ALIPAY, DAY, Step.COMPARING, 0, 6000, 0),
        Progress(ALIPAY, DAY, Step.COMPARING, 3000, 6000, 1500),
    ]


async def test_each_step_is_told_to_who_asked_or_to_the_log(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_comparison, "PAGE", 2)
    monkeypatch.setattr(reconcile, "LOGGED_EVERY_S", 0.0)
    monkeypatch.setattr(reconcile, "TOLD_EVERY_S", 0.0)
    desk.bills[DAY] = [await paid_at(world, first_ms(DAY) + DAY_MS // 2 + n) for n in range(3)]
    await service.reconcile(ALIPAY, DAY)
    assert [(name, about["step"], about["lines"], about["total"]) for name, about in world.logged] == [
        ("bill_progress", "comparing the bill with our payments", 2, 3),
        ("bill_progress", "comparing the bill with our payments", 3, 3),
        ("bill_progress", "searching the bill for our payments", 2, None),
        ("bill_progress", "searching the bill for our payments", 3, None),
        ("bill_progress", "searching the bill for our payments", 3, None),
    ]
    world.logged.clear()
    told: list[Progress] = []
    await service.reconcile(ALIPAY, DAY, told=told.append)
    assert ([one.done for one in told], world.logged) == ([2, 3, 2, 3, 3], [])
