"""The doctor counts stock: drifted counters are found, and a shop that is busy or behind is no fault."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

import pytest

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import PaymentType, RefundType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.upkeep.doctor import RECHECK_S, SETTLE_S, Doctor, DoctorReport, Finding
from tests.world.shop import ADDRESS, World

BUYER = Actor(Role.USER, 7)
ADMIN = Actor(Role.ADMIN, 1)
ALL_PAUSES_S = [RECHECK_S, *SETTLE_S]


async def placed(world: World, goods: int = 1, nums: int = 2) -> Order:
    return (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(goods, nums),)))).result


async def paid(world: World) -> Order:
    order = await placed(world)
    attempt = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment
    world.provider.pay(attempt.payment_sn)
    await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(attempt.payment_sn), {})
    return order


async def published(world: World) -> None:
    while await world.relay.run_once():
        pass


class Looking:
    """An examination whose pauses take no time; `at_pause` happens in each."""

    def __init__(self, world: World) -> None:
        self.doctor = Doctor(
            audit=world.store.audit, clock=world.clock, outbox=world.store.outbox, leases=world.stock
        )
        self.pauses_s: list[float] = []

    async def at_pause(self) -> None: ...

    async def examine(self) -> DoctorReport:
        async def sleep(seconds: float) -> None:
            self.pauses_s.append(seconds)
            await self.at_pause()

        return await self.doctor.examine(sleep)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("reserved = reserved + 3, available = available - 3", "3 more reserved"),
        ("reserved = reserved - 1, available = available + 1", "1 fewer reserved"),
        ("sold = sold + 1, available = available - 1", "1 more sold"),
        ("sold = sold - 2, available = available + 2", "2 fewer sold"),
    ],
)
async def test_a_counter_that_drifted_from_the_leases_is_found(
    world: World, statement: str, says: str
) -> None:
    await placed(world), await paid(world), await placed(world, goods=3)
    await published(world)
    looking = Looking(world)
    assert (await looking.examine()).clean
    connection = sqlite3.connect(world.neighbours.path)
    with connection:
        connection.execute(f"UPDATE stock SET {statement} WHERE goods_id = 1")
    connection.close()
    report = await looking.examine()
    wanted = f"goods 1: the inventory counts {says} than its leases hold"
    assert report.findings == {Finding("stock", "", wanted)}
    assert looking.pauses_s == [RECHECK_S], "nobody waits for what no event will change"


async def test_an_event_that_is_held_back_for_ever_hides_no_stock(world: World) -> None:
    await placed(world)
    await published(world)
    order = await paid(world)
    looking = Looking(world)
    assert (await looking.examine()).clean, "its events wait: the stock follows"
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("UPDATE outbox SET not_before_ms = ?", (world.real_ms + 10**9,))
    await published(world)
    areas = {(found.area, found.order_sn) for found in (await looking.examine()).findings}
    assert areas == {("history", order.order_sn), ("stock", order.order_sn)}


async def test_what_only_one_of_two_looks_saw_is_no_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await placed(world), await placed(world, goods=3)
    looking = Looking(world)

    async def drifts(goods: int, by: int) -> None:
        with closing(sqlite3.connect(world.neighbours.path)) as connection, connection:
            connection.execute(
                "UPDATE stock SET reserved = reserved + ?1, available = available - ?1 WHERE goods_id = ?2",
                (by, goods),
            )

    async def moves_on() -> None:
        await drifts(1, -1)
        await drifts(3, 1)

    await drifts(1, 1)
    monkeypatch.setattr(looking, "at_pause", moves_on)
    report = await looking.examine()
    assert report.clean, report.findings
    assert looking.pauses_s == [RECHECK_S]


async def refunded(world: World, order: Order, wish: RefundWish, *, until: str = "succeeded") -> None:
    """A refund by request, until it came so far."""
    now_ms, sn, rules = world.clock(), f"R{order.order_sn}", RefundRules(0)

    def ask(o: Order) -> None:
        after_sales.request_refund(o, wish, sn, ADMIN, now_ms, rules)
        after_sales.approve(o, sn, ADMIN, now_ms, rules)
        if wish.type is RefundType.RETURN and until != "awaiting_return":
            after_sales.receive_goods(o, sn, ADMIN, now_ms)
        if until in ("failed", "succeeded"):
            after_sales.sent(o, sn, now_ms)
            end = after_sales.failed if until == "failed" else after_sales.succeeded
            end(o, sn, now_ms)

    await world.store.orders.change(order.order_sn, ask)


async def came_back(world: World, order: Order) -> None:
    """The inventory took a piece back, of no refund."""
    lines = [pb.Line(goods_id=item.goods, nums=1) for item in order.items]
    back = pb.ReturnRequest(return_sn=f"S{order.order_sn}", order_sn=order.order_sn, lines=lines)
    (result,) = (await world.neighbours.inventory.return_stock(pb.ReturnRequests(requests=[back]))).results
    assert result.ok


ONE_PIECE = RefundWish(lines=(Line(1, 1),))
RETURNED = RefundWish(RefundType.RETURN, (Line(1, 1),))


@pytest.mark.parametrize(
    ("wish", "ships", "until", "pieces"),
    [
        (RefundWish(), False, "succeeded", 2),  # cancels the order
        (ONE_PIECE, False, "succeeded", 1),
        (ONE_PIECE, True, "succeeded", 1),
        (ONE_PIECE, True, "approved", 0),
        (RefundWish(amount_fen=3998), False, "succeeded", 0),  # cancels it too: an amount returns no goods
        (RefundWish(amount_fen=5), True, "succeeded", 0),
        (RETURNED, True, "awaiting_return", 0),
        (RETURNED, True, "returned", 1),
        (RETURNED, True, "succeeded", 1),
        (RETURNED, True, "failed", 1),
    ],
)
async def test_what_came_back_is_what_refunds_returned(
    world: World, wish: RefundWish, ships: bool, until: str, pieces: int
) -> None:
    order = await paid(world)
    await paid(world)
    if ships:
        await world.orders.ship(ADMIN, order.order_sn, "顺丰", "SF1")
    await refunded(world, order, wish, until=until)
    await published(world)
    assert await stock_findings(world) == set()
    (lease,) = [one for one in await world.stock.leases("", 10) if one.order_sn == order.order_sn]
    assert sum(nums for _, nums in lease.returned) == pieces
    if pieces < 2:  # one more than its refunds say
        await came_back(world, order)
        (found,) = await stock_findings(world)
        assert "its refunds returned" in found


async def stock_findings(world: World) -> set[str]:
    """What is wrong with the stock; a refund that failed is a finding of its own."""
    report = await Looking(world).examine()
    return {finding.what for finding in report.findings if finding.area == "stock"}


async def test_goods_that_came_back_without_a_refund_are_found(world: World) -> None:
    order = await paid(world)
    await published(world)
    await came_back(world, order)
    report = await Looking(world).examine()
    wanted = "got back 1 of goods 1, its refunds returned nothing"
    assert report.findings == {Finding("stock", order.order_sn, wanted)}


async def test_goods_that_are_sold_while_the_doctor_looks_are_no_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await placed(world)
    counters = world.stock.counters

    async def sold_meanwhile(goods_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        if goods_ids:
            await placed(world, nums=1)
        return await counters(goods_ids)

    monkeypatch.setattr(world.stock, "counters", sold_meanwhile)
    report = await Looking(world).examine()
    assert report.clean, report.findings
    assert report.in_flight > 0


@pytest.mark.parametrize("behind_pauses", range(1, len(ALL_PAUSES_S) + 1))
async def test_who_reads_our_events_late_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, behind_pauses: int
) -> None:
    deliver, broker = world.inboxes.deliver, list[Event]()

    async def kept_by_the_broker(events: Sequence[Event]) -> Sequence[int]:
        broker.extend(events)
        return [event.id for event in events]

    monkeypatch.setattr(world.inboxes, "deliver", kept_by_the_broker)
    await paid(world)
    await published(world)
    looking = Looking(world)

    async def consumes() -> None:
        if len(looking.pauses_s) == behind_pauses:
            await deliver(broker)

    monkeypatch.setattr(looking, "at_pause", consumes)
    assert (await looking.examine()).clean
    assert looking.pauses_s == ALL_PAUSES_S[:behind_pauses]


async def test_who_never_reads_them_is_a_fault_of_stock_after_half_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(events: Sequence[Event]) -> Sequence[int]:
        return [event.id for event in events]

    monkeypatch.setattr(world.inboxes, "deliver", lost)
    order = await paid(world)
    await published(world)
    looking = Looking(world)
    report = await looking.examine()
    assert report.findings == {Finding("stock", order.order_sn, "is PAID but its stock is reserved")}
    assert looking.pauses_s == ALL_PAUSES_S
    assert sum(looking.pauses_s) == 30
