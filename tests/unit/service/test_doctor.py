"""The doctor sees what somebody changed behind the service's back, also where the sums still agree."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown
from shop_order.domain.order_log import Backfill
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.upkeep import doctor as doctor_module
from shop_order.service.upkeep.doctor import Doctor, DoctorReport
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)


async def placed(world: World) -> Order:
    return (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1), Line(2, 2))))).result


async def paid(world: World, *, late: bool) -> Order:
    """A paid order, or a cancelled one whose late money was given back."""
    order = await placed(world)
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result
    if late:
        await world.orders.cancel(BUYER, order.order_sn)
    sn = attempt.payment.payment_sn
    world.provider.pay(sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(sn), {})
    await world.settlement.refund_due()
    return order


async def examined(world: World) -> DoctorReport:
    async def at_once(seconds: float) -> None: ...

    return await Doctor(
        audit=world.store.audit, clock=world.clock, outbox=world.store.outbox, leases=None
    ).examine(at_once)


@pytest.mark.parametrize(
    "statements",
    [
        'UPDATE order_goods SET nums = 3 WHERE "order" = {id} AND goods = 2',
        # everything made cheaper, and the sums agree
        'UPDATE order_goods SET price_fen = 1 WHERE "order" = {id};'
        " UPDATE order_info SET total_fen = 3, pay_fen = 3 WHERE id = {id};"
        " UPDATE payment SET amount_fen = 3, refunded_fen = min(refunded_fen, 3) WHERE order_sn = '{sn}'",
        "UPDATE order_info SET user = 8 WHERE id = {id}",
        "UPDATE order_info SET status = 4, due_ms = NULL WHERE id = {id}",
        "UPDATE order_info SET expire_ms = expire_ms + 1 WHERE id = {id}",
        "UPDATE order_info SET version = 0 WHERE id = {id}",
        "DELETE FROM order_info WHERE id = {id}",
        "DROP TRIGGER order_event_no_delete; DELETE FROM order_event WHERE order_sn = '{sn}'",
    ],
)
@pytest.mark.parametrize("kind", ["pending", "paid", "late"])
async def test_an_order_that_was_edited_is_found(world: World, kind: str, statements: str) -> None:
    order = await placed(world) if kind == "pending" else await paid(world, late=kind == "late")
    await placed(world)
    await found_after(world, order, statements)


@pytest.mark.parametrize(
    ("kind", "statements"),
    [
        ("pending", "UPDATE order_info SET due_ms = NULL WHERE id = {id}"),
        ("paid", "UPDATE order_info SET due_ms = 5 WHERE id = {id}"),
        ("paid", "DELETE FROM payment WHERE order_sn = '{sn}'"),
        ("late", "DELETE FROM refund WHERE order_sn = '{sn}'"),
        # the money never came, so nothing was given back
        (
            "late",
            "DELETE FROM refund WHERE order_sn = '{sn}';"
            " UPDATE payment SET state = 'closed', refunded_fen = 0 WHERE order_sn = '{sn}'",
        ),
        ("late", "DELETE FROM refund WHERE order_sn = '{sn}'; DELETE FROM payment WHERE order_sn = '{sn}'"),
        ("late", "UPDATE payment SET refunded_fen = 0 WHERE order_sn = '{sn}'"),
        # paid and given back, as if the one payment had been the other
        (
            "paid",
            "UPDATE payment SET state = 'refunded', refunded_fen = amount_fen WHERE order_sn = '{sn}'",
        ),
        ("late", "UPDATE order_info SET cancel_code = 'TIMEOUT' WHERE id = {id}"),
    ],
)
async def test_money_and_time_that_were_edited_are_found(world: World, kind: str, statements: str) -> None:
    order = await placed(world) if kind == "pending" else await paid(world, late=kind == "late")
    await found_after(world, order, statements)


async def test_figures_that_are_not_the_orders_are_found(world: World) -> None:
    order = await paid(world, late=True)
    await placed(world)
    doctor = Doctor(
        audit=world.store.audit,
        clock=world.clock,
        outbox=world.store.outbox,
        leases=None,
        log=world.log_store,
    )

    async def at_once(seconds: float) -> None: ...

    assert (await doctor.examine(at_once)).compared == 0, "the log was told of nothing yet"
    await world.order_log.rebuild()
    report = await doctor.examine(at_once)
    assert (report.clean, report.compared, report.orders) == (True, 2, 2)
    assert (report.paid_fen, report.refunded_fen) == (order.pay_fen, order.pay_fen)
    connection = sqlite3.connect(world.folder / "oplog.db", isolation_level=None)
    connection.execute("UPDATE order_stats SET paid_fen = 0 WHERE order_sn = ?", (order.order_sn,))
    connection.close()
    (finding,) = (await doctor.examine(at_once)).findings
    assert (finding.area, finding.order_sn) == ("figures", order.order_sn)
    assert f"counts 0 as paid, the order says {order.pay_fen}" in finding.what
    await world.order_log.rebuild()
    assert (await doctor.examine(at_once)).clean


async def test_an_event_that_waits_nowhere_is_found(world: World) -> None:
    order = await paid(world, late=False)
    await world.order_log.rebuild()
    while await world.relay.run_once():
        pass
    while (await world.store.feed.lag())[0]:
        await world.order_log.run_once()
    await world.orders.ship(Actor(Role.ADMIN, 1), order.order_sn, "顺丰", "SF1")
    store = world.store
    doctor = Doctor(
        audit=store.audit,
        clock=world.clock,
        outbox=store.outbox,
        leases=None,
        log=world.log_store,
        feed=store.feed,
    )

    async def at_once(seconds: float) -> None: ...

    assert (await doctor.examine(at_once)).clean, "it waits in the outbox"
    connection = sqlite3.connect(world.path)
    connection.executescript("DELETE FROM outbox")
    connection.close()
    (finding,) = (await doctor.examine(at_once)).findings
    assert (finding.order_sn, finding.what) == (
        order.order_sn,
        "version 4 of 4 waits nowhere to be published",
    )


async def test_a_log_that_is_away_is_asked_once_and_hides_no_other_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "PAGE", 1)
    order = await placed(world)
    await placed(world)
    asked = []

    async def away() -> Backfill:
        asked.append(1)
        raise DependencyDown("order_log")

    monkeypatch.setattr(world.log_store, "backfill", away)
    connection = sqlite3.connect(world.path)
    connection.executescript(f"UPDATE order_info SET due_ms = NULL WHERE id = {order.id}")
    connection.close()
    doctor = Doctor(
        audit=world.store.audit,
        clock=world.clock,
        outbox=world.store.outbox,
        leases=None,
        log=world.log_store,
    )
    report = await doctor.examine(lambda _: asyncio.sleep(0))
    assert (report.orders, report.compared) == (2, 0)
    assert [finding.area for finding in report.findings] == ["history"]
    assert len(asked) == 2, "once a look"


async def found_after(world: World, order: Order, statements: str) -> None:
    assert (await examined(world)).clean
    connection = sqlite3.connect(world.path)
    connection.executescript(statements.format(id=order.id, sn=order.order_sn))
    connection.close()
    report = await examined(world)
    named = {finding.order_sn for finding in report.findings if not finding.what.startswith("item ")}
    assert named == {order.order_sn}
