"""When a day's bill is due, and what is done when it does not come, can't be read, or differs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta

import pytest

from shop_order.domain.bill import DAY_MS, Bill, BillLine, Mismatch, first_ms
from shop_order.domain.errors import ChannelUnavailable, DependencyDown
from shop_order.domain.ports import BillNotOut, BillUnusable, Fence, LeaseLost, LinesRead
from shop_order.domain.status import PaymentType
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.world.bills import (
    ALIPAY,
    DAY,
    MINUTE_MS,
    TODAY,
    Desk,
    age_h,
    paid_at,
)
from tests.world.shop import World


async def test_a_day_without_a_bill_was_empty_once_the_next_is_over(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    yesterday = TODAY - timedelta(days=1)
    world.real_ms = first_ms(TODAY) + DAY_MS - 1
    with pytest.raises(BillNotOut):
        await service.reconcile(ALIPAY, yesterday)
    line = await paid_at(world, first_ms(yesterday) + DAY_MS // 2)
    world.real_ms += 1
    (one,) = (await service.reconcile(ALIPAY, yesterday)).shown
    assert (one.kind, one.number) == (Mismatch.NOT_IN_BILL, line.payment_sn)


async def test_a_channel_without_bills_is_refused(service: ReconciliationService) -> None:
    with pytest.raises(ChannelUnavailable):
        await service.reconcile(PaymentType.WECHAT, DAY)


async def test_a_day_is_due_at_half_past_ten_of_the_next_and_missed_ones_are_made_up_for(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    week = [TODAY - timedelta(days=n) for n in range(7, 0, -1)]
    desk.bills = {day: [] for day in week}
    done: list[date] = []
    world.real_ms = first_ms(TODAY) + 10 * 3_600_000 + 30 * MINUTE_MS - 1
    while due := await service.due():
        done += [day for _, day in due]
        assert await service.step() == 1
    assert done == week[:-1]
    assert await age_h(service) == pytest.approx(24 + 10.5)
    world.real_ms += 1
    assert await service.due() == [(ALIPAY, week[-1])]
    assert await service.step() == 1
    assert (await service.due(), await service.step()) == ([], 0)
    assert await age_h(service) == pytest.approx(10.5)
    desk.there = False
    world.real_ms += DAY_MS
    assert (await service.due(), await service.lag()) == ([], [])


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (BillNotOut(DAY), None),
        (DependencyDown("payment_provider"), "bill_away"),
        (ChannelUnavailable("alipay"), "bill_away"),
        (BillUnusable("cut off"), "bill_unusable"),
        (ValueError("nobody foresaw it"), None),
    ],
)
async def test_a_bill_that_does_not_come_is_left_alone_for_a_while_and_holds_up_no_other(
    world: World, desk: Desk, service: ReconciliationService, fails: Exception, told: str | None
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    desk.fails = fails
    if isinstance(fails, BillNotOut):
        days = [TODAY - timedelta(days=1)]
        desk.fails = None
        desk.bills = {TODAY - timedelta(days=n): [] for n in range(2, 8)}
        for _ in range(6):
            assert await service.step() == 1
        desk.fails = fails
    else:
        days = [TODAY - timedelta(days=n) for n in range(7, 0, -1)]
    for day in days:
        assert await service.due() == [(ALIPAY, day)]
        if isinstance(fails, ValueError):
            with pytest.raises(ValueError, match="foresaw"):
                await service.step()
        else:
            assert await service.step() == 0
    assert await service.due() == []
    assert {name for name, _ in world.alerts} == ({told} if told else set())


async def test_a_row_of_ours_that_was_altered_holds_up_its_own_day_only(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    desk.bills = {TODAY - timedelta(days=n): [] for n in range(1, 9)}
    line = await paid_at(world, first_ms(DAY) + DAY_MS // 2)
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("UPDATE payment SET state = 'lost' WHERE payment_sn = ?", (line.payment_sn,))
    while await service.due():
        await service.step()
    since = TODAY - timedelta(days=7)
    assert len(await world.store.reconciliations.days(ALIPAY, since)) == 6
    assert await age_h(service) == pytest.approx(2 * 24 + 11), "a day is missing, though later ones are not"
    ((name, about),) = world.alerts
    assert (name, about["day"]) == ("bill_unusable", str(DAY))
    assert line.payment_sn in str(about["error"])


async def test_what_differs_is_told_and_counted_until_it_agrees(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    line = BillLine("P-of-nobody", "T9", 700)
    desk.bills = {TODAY - timedelta(days=n): [line] if n == 7 else [] for n in range(1, 8)}
    while await service.due():
        await service.step()
    ((name, about),) = world.alerts
    assert (name, about["numbers"]) == ("bill_differs", ["P-of-nobody"])
    assert (await service.lag())[0][2] == 1, "also when later days agree"
    desk.bills[TODAY - timedelta(days=7)] = []
    await service.reconcile(ALIPAY, TODAY - timedelta(days=7))
    assert (await service.lag())[0][2] == 0


async def test_what_differs_is_compared_again_a_day_later(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    desk.bills = {TODAY - timedelta(days=n): [] for n in range(-1, 9)}
    line = await paid_at(world, first_ms(DAY) + DAY_MS // 2)
    while await service.due():
        await service.step()
    assert (await service.lag())[0][2] == 1
    world.real_ms += DAY_MS - 1
    assert await service.due() == [(ALIPAY, TODAY)]
    await service.step()
    assert await service.due() == []
    world.real_ms += 1
    desk.bills[DAY] = [line]  # it came late
    desk.asked.clear()
    while await service.due():
        await service.step()
    assert (desk.asked, (await service.lag())[0][2]) == ([DAY], 0)


async def test_a_bill_compared_before_its_day_was_over_is_compared_again(
    world: World, desk: Desk, service: ReconciliationService
) -> None:
    world.real_ms = first_ms(TODAY) + 11 * 3_600_000
    desk.bills = {TODAY - timedelta(days=n): [] for n in range(-1, 9)}
    while await service.due():
        await service.step()
    await service.reconcile(ALIPAY, TODAY)
    world.real_ms += DAY_MS
    assert await age_h(service) == pytest.approx(24 + 11)
    assert await service.due() == [(ALIPAY, TODAY)]


async def test_the_fence_is_taken_before_the_first_look(
    world: World, desk: Desk, service: ReconciliationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = [2]
    service.fence = lambda: Fence("reconcile", number[0])
    real = desk.bill

    async def paused(day: date, read: LinesRead) -> Bill:
        number[0] = 1
        return await real(day, read)

    monkeypatch.setattr(desk, "bill", paused)
    with pytest.raises(LeaseLost):
        await service.reconcile(ALIPAY, DAY)
    assert await world.store.reconciliations.days(ALIPAY, DAY) == {}
