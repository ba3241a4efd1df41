"""Counters of tries that somebody rewrote delay no job for ever, stop none, and are found until they heal."""

from __future__ import annotations

import pytest

from shop_order.domain.implied import MAX_TRIES
from shop_order.service.settle import QUERY_BACKOFF_MS, REFUND_BACKOFF_MS, backoff
from tests.contract.engine import NOW_MS, Engine, added, opened
from tests.contract.kinds import every_kind, faults, late

DAY_MS = 86_400_000
IMPOSSIBLE = [-(2**31), -100, -1, MAX_TRIES + 1, 2**31 - 1]


@pytest.mark.parametrize("tries", IMPOSSIBLE)
async def test_a_payment_is_asked_about_whatever_its_count_says(engine: Engine, tries: int) -> None:
    payment = await opened(engine.store, await added(engine.store))
    engine.sql("UPDATE payment SET ask_tries = ?", tries)
    for now_ms, counted in ((NOW_MS + DAY_MS, 0), (NOW_MS + 2 * DAY_MS, 1)):
        assert await engine.store.payments.due_queries(now_ms, 10) == [(payment, counted)]
        await engine.store.payments.postpone_query(payment.payment_sn, now_ms + 1)
        assert await engine.store.payments.due_queries(now_ms, 10) == []


@pytest.mark.parametrize("tries", IMPOSSIBLE)
async def test_a_refund_is_sent_whatever_its_count_says(engine: Engine, tries: int) -> None:
    (refund,) = (await late(engine.store)).refunds.values()
    engine.sql("UPDATE refund SET tries = ?", tries)
    for now_ms, counted in ((NOW_MS + DAY_MS, 0), (NOW_MS + 2 * DAY_MS, 1)):
        assert await engine.store.payments.due_refunds(now_ms, 10) == [(refund, counted)]
        await engine.store.payments.postpone_refund(refund.refund_sn, now_ms + 1)
        assert await engine.store.payments.due_refunds(now_ms, 10) == []


@pytest.mark.parametrize("tries", IMPOSSIBLE)
async def test_an_event_is_refused_and_comes_again_whatever_its_count_says(
    engine: Engine, tries: int
) -> None:
    await added(engine.store)
    (event,) = await engine.store.outbox.take(10, NOW_MS)
    engine.sql("UPDATE outbox SET tries = ?", tries)
    await engine.store.outbox.refused([event.id], NOW_MS)
    assert engine.sql("SELECT tries FROM outbox") == [(1,)]
    assert await engine.store.outbox.take(10, NOW_MS + 59_999) == []
    assert await engine.store.outbox.take(10, NOW_MS + 60_000) == [event]


async def test_the_largest_count_starts_anew(engine: Engine) -> None:
    payment = await opened(engine.store, await added(engine.store))
    for stored, counted in ((MAX_TRIES - 1, MAX_TRIES), (MAX_TRIES, 1)):
        engine.sql("UPDATE payment SET ask_tries = ?", stored)
        await engine.store.payments.postpone_query(payment.payment_sn, NOW_MS + 1)
        assert engine.sql("SELECT ask_tries FROM payment") == [(counted,)]


async def test_a_count_that_is_possible_is_no_fault(engine: Engine) -> None:
    await every_kind(engine.store)
    engine.sql("UPDATE payment SET ask_tries = ?", MAX_TRIES)
    engine.sql("UPDATE refund SET tries = 7")
    assert await faults(engine.store) == ({}, {})


@pytest.mark.parametrize("steps", [QUERY_BACKOFF_MS, REFUND_BACKOFF_MS])
def test_there_is_a_pause_after_any_number_of_tries(steps: tuple[int, ...]) -> None:
    assert [backoff(steps, tries) for tries in IMPOSSIBLE] == [*[steps[0]] * 3, *[steps[-1]] * 2]
