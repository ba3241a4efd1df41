"""The outbox: every event goes out, in order of version, and nobody waits for another order's trouble."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from shop_order.pkg.log import with_fields
from shop_order.pkg.tracing import Origin, current_span
from shop_order.repository.dao.store import Store
from shop_order.repository.schema import migrate
from tests.contract.engine import BUYER, NOW_MS, added, opened, paid


async def waiting(store: Store, now_ms: int = NOW_MS, limit: int = 100) -> list[tuple[str, int]]:
    return [(e.order_sn, e.version) for e in await store.outbox.take(limit, now_ms)]


async def test_events_wait_in_order_of_version_until_they_are_published(store: Store) -> None:
    new = await added(store)
    await paid(store, new, await opened(store, new))
    events = await store.outbox.take(10, NOW_MS)
    assert events == await store.orders.history(new.order_sn)
    assert [e.version for e in events] == [1, 2, 3]
    await store.outbox.published([events[0].id])
    assert await waiting(store) == [(new.order_sn, 2), (new.order_sn, 3)]
    await store.outbox.published([e.id for e in events])
    assert await waiting(store) == []


async def test_a_refused_event_holds_its_order_back_and_no_other(store: Store) -> None:
    one, other = await added(store), await added(store)
    first = (await store.orders.history(one.order_sn))[0]
    await store.outbox.refused([first.id], NOW_MS)
    await opened(store, one)  # a later event, that nobody refused, must not overtake
    assert await waiting(store) == [(other.order_sn, 1)]
    assert await waiting(store, NOW_MS + 999) == [(other.order_sn, 1)]
    assert await waiting(store, NOW_MS + 1000) == [(one.order_sn, 1), (one.order_sn, 2), (other.order_sn, 1)]


async def test_each_refusal_holds_back_longer_up_to_a_minute(store: Store) -> None:
    new = await added(store)
    first = (await store.orders.history(new.order_sn))[0]
    for tries, wait_ms in enumerate([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]):
        now_ms = NOW_MS + tries * 100_000
        await store.outbox.refused([first.id], now_ms)
        assert await waiting(store, now_ms + wait_ms - 1) == []
        assert await waiting(store, now_ms + wait_ms) == [(new.order_sn, 1)]


async def test_a_batch_has_a_bound_and_cuts_no_hole_into_an_order(store: Store) -> None:
    orders = [await added(store) for _ in range(4)]
    for new in orders:
        await paid(store, new, await opened(store, new))
    taken = await waiting(store, limit=5)
    assert taken == [(orders[0].order_sn, v) for v in (1, 2, 3)] + [(orders[1].order_sn, v) for v in (1, 2)]


async def test_a_request_is_published_again_once_and_alone(store: Store) -> None:
    new = await added(store)
    payment = await opened(store, new)
    events = await store.outbox.take(10, NOW_MS)
    ask = "payment.opened", payment.payment_sn
    await store.outbox.publish_again(new.order_sn, *ask, NOW_MS)
    assert await waiting(store) == [(new.order_sn, 1), (new.order_sn, 2)], "it waits already"
    await store.outbox.published([event.id for event in events])
    for _ in range(2):
        await store.outbox.publish_again(new.order_sn, *ask, NOW_MS + 5)
    assert await store.outbox.take(10, NOW_MS) == events[1:], "the same event, unchanged"
    assert await store.outbox.lag() == (1, NOW_MS + 5), "it waits since now"
    await store.outbox.published([events[1].id])
    for other in ("P0", payment.payment_sn[:-1]):
        await store.outbox.publish_again(new.order_sn, "payment.opened", other, NOW_MS)
    assert await waiting(store) == []


async def test_orders_that_are_held_back_do_not_fill_the_line(store: Store) -> None:
    stuck = [await added(store) for _ in range(3)]
    await store.outbox.refused([e.id for e in await store.outbox.take(10, NOW_MS)], NOW_MS)
    for new in stuck:
        await opened(store, new)
    fresh = await added(store)
    assert await waiting(store, limit=3) == [(fresh.order_sn, 1)]


async def test_the_lag_counts_what_waits_and_since_when(store: Store) -> None:
    assert await store.outbox.lag() == (0, 0)
    new = await added(store, now_ms=NOW_MS)
    await added(store, now_ms=NOW_MS + 5)
    await store.orders.change(new.order_sn, lambda o: o.cancel("", BUYER, NOW_MS + 9, code="BUYER"))
    assert await store.outbox.lag() == (3, NOW_MS)


async def test_an_event_that_waits_remembers_whose_request_made_it(store: Store) -> None:
    span = current_span.set(Origin("", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"))
    try:
        with with_fields(request_id="r" * 128):
            new = await added(store)
    finally:
        current_span.reset(span)
    await opened(store, new)
    first, second = await store.outbox.take(10, NOW_MS)
    assert (first.request_id, first.traceparent) == ("r" * 128, "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    assert (second.request_id, second.traceparent) == ("", "")
    told = (await store.orders.history(new.order_sn))[0]
    assert (told, told.request_id) == (first, "")  # the chain knows nothing of it


def test_events_that_waited_before_a_migration_wait_after_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'order.db'}"
    migrate(url, "0003")
    with closing(sqlite3.connect(tmp_path / "order.db")) as old:
        old.execute("INSERT INTO outbox (event_id, order_sn, version, created_ms) VALUES (7, 'S', 1, 9)")
        old.commit()
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "order.db")) as new:
        assert new.execute("SELECT event_id, tries, request_id, traceparent FROM outbox").fetchall() == [
            (7, 0, "", "")
        ]
