"""Why an order was cancelled, and what went back of late money: stored, archived, filled in for old rows."""

from __future__ import annotations

from importlib import import_module

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.status import RefundState
from shop_order.domain.valueobject.parties import SYSTEM
from shop_order.repository.dao.store import Store
from shop_order.repository.schema import migrate
from tests.contract.archived import LATER_MS, archive_all, cancelled, clean, give_back, late_money
from tests.contract.engine import DAY_MS, NOW_MS, Engine, added, opened, paid

MIGRATION = import_module("shop_order.script.migrations.versions.0010_cancel_code")
SEEN = "SELECT order_sn, cancel_reason, cancel_code, refund_status FROM {}"


async def timed_out(store: Store) -> Order:
    """An order nobody paid in time."""
    new = await added(store)

    def cancel(o: Order) -> None:
        o.cancel("", SYSTEM, NOW_MS, code="TIMEOUT")

    return (await store.orders.change(new.order_sn, cancel))[0]


async def some_of_each(store: Store) -> dict[str, tuple[str, str, int]]:
    """Orders in every end, and what their rows must say: text, code, refund status."""
    wanted = {}
    for ends, back in ((None, 1), (RefundState.SUCCEEDED, 2), (RefundState.FAILED, 1)):
        late = await late_money(store, await cancelled(store))
        if ends:
            await give_back(store, late, ends=ends)
        wanted[late.order_sn] = ("不要了", "BUYER", back)
    wanted[(await timed_out(store)).order_sn] = ("", "TIMEOUT", 0)
    wanted[(await added(store)).order_sn] = ("", "", 0)
    bought = await added(store)
    twice = [await opened(store, bought)]
    await store.orders.change(bought.order_sn, lambda o: o.close_attempt(twice[0].payment_sn, SYSTEM, NOW_MS))
    twice.append(await opened(store, bought))
    for payment in twice:  # the second is a duplicate: not the order's refund
        await paid(store, bought, payment)
    await give_back(store, await store.orders.get(bought.order_sn))
    wanted[bought.order_sn] = ("", "", 0)
    return wanted


def seen(engine: Engine) -> dict[object, tuple[object, ...]]:
    """What the rows say, wherever they lie."""
    found = [*engine.sql(SEEN.format("order_info")), *engine.sql(SEEN.format("order_info_history"))]
    return {order_sn: tuple(rest) for order_sn, *rest in found}


@pytest.mark.parametrize("archived", [False, True])
async def test_rows_from_before_are_filled_in(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    monkeypatch.setattr(MIGRATION, "PAGE", 2)
    wanted = await some_of_each(engine.store)
    if archived:
        assert await archive_all(engine.store, LATER_MS + 50 * DAY_MS) == 2
    assert seen(engine) == wanted
    orders = {sn: await engine.store.orders.get(sn) for sn in wanted}
    await engine.opened.pop().close()
    migrate(engine.url, MIGRATION.down_revision)
    columns = "order_sn, refund_status FROM"
    before = [
        *engine.sql(f"SELECT {columns} order_info"),
        *engine.sql(f"SELECT {columns} order_info_history"),
    ]
    assert sorted(before, key=repr) == [(sn, 0) for sn in sorted(wanted)], "as the version before counted"
    for _ in range(2):  # the second finds nothing to do
        migrate(engine.url)
    assert seen(engine) == wanted
    await engine.open()
    assert {sn: await engine.store.orders.get(sn) for sn in wanted} == orders


async def test_a_cancellation_somebody_altered_has_no_code_and_stops_no_migration(engine: Engine) -> None:
    order = await timed_out(engine.store)
    await engine.opened.pop().close()
    migrate(engine.url, MIGRATION.down_revision)
    engine.sql("DROP TRIGGER order_event_no_update")
    engine.sql("UPDATE order_event SET payload = ? WHERE type = 'order.cancelled'", b"[1]")
    migrate(engine.url)
    assert seen(engine)[order.order_sn] == ("", "", 0)


async def test_the_code_comes_back_with_the_order(engine: Engine) -> None:
    order = await timed_out(engine.store)
    assert (await engine.store.orders.get(order.order_sn)).cancel_code == "TIMEOUT"
    assert await archive_all(engine.store) == 1
    assert (await engine.store.orders.get(order.order_sn)).cancel_code == "TIMEOUT"
    assert await clean(engine.store)
