"""A provider's number is one payment's, of a channel and an account: in one process, in several, for ever."""

from __future__ import annotations

import asyncio
import logging

import pytest

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import TradeNoTaken
from shop_order.domain.status import OrderStatus, PaymentState
from shop_order.repository.dao.store import Store
from shop_order.repository.schema import migrate
from tests.contract.archived import archive_all, completed
from tests.contract.engine import NOW_MS, Engine, added, opened

US, OTHERS = "2088000000000001", "2088000000000002"


async def waiting(store: Store) -> tuple[Order, Payment]:
    """An order with an open attempt."""
    order = await added(store)
    return order, await opened(store, order)


async def paid(store: Store, of: tuple[Order, Payment], trade_no: str, seller: str = US) -> Order:
    """The money arrives under this number."""
    order, payment = of

    def decide(o: Order) -> None:
        o.receive_payment(
            payment.payment_sn,
            trade_no=trade_no,
            amount_fen=payment.amount_fen,
            paid_ms=NOW_MS,
            now_ms=NOW_MS,
            refund_sn="R" + payment.payment_sn[1:],
        )

    return (await store.orders.change(order.order_sn, decide, seller=seller))[0]


async def unpaid(store: Store, of: tuple[Order, Payment]) -> None:
    """Nothing happened to it."""
    order = await store.orders.get(of[0].order_sn)
    assert (order.status, order.version, order.trade_no) == (OrderStatus.PENDING, 2, "")
    assert order.payments[of[1].payment_sn].state is PaymentState.PENDING


async def test_a_number_pays_once_and_again_for_the_same_payment(store: Store) -> None:
    first, second = await waiting(store), await waiting(store)
    await paid(store, first, "T1")
    with pytest.raises(TradeNoTaken) as taken:
        await paid(store, second, "T1")
    assert taken.value.payment_sn == first[1].payment_sn
    await unpaid(store, second)
    assert (await paid(store, first, "T1")).version == 3, "told twice"
    with pytest.raises(AmountMismatch):
        await paid(store, first, "T2")
    assert (await paid(store, second, "T2")).status is OrderStatus.PAID


async def test_another_account_has_numbers_of_its_own_and_case_counts(store: Store) -> None:
    for trade_no, seller in (("T1", US), ("T1", OTHERS), ("t1", US)):
        assert (await paid(store, await waiting(store), trade_no, seller)).status is OrderStatus.PAID


async def test_an_account_that_is_not_known_may_be_any(store: Store) -> None:
    for trade_no, first, then in (("T1", US, ""), ("T2", "", US)):
        await paid(store, await waiting(store), trade_no, first)
        with pytest.raises(TradeNoTaken):
            await paid(store, await waiting(store), trade_no, then)


async def test_channels_without_numbers_are_not_compared(store: Store) -> None:
    for _ in range(2):
        assert (await paid(store, await waiting(store), "")).status is OrderStatus.PAID


async def test_of_many_at_once_one_has_the_number_and_the_others_have_theirs(store: Store) -> None:
    same, others = [await waiting(store) for _ in range(12)], [await waiting(store) for _ in range(12)]
    told = [paid(store, one, "T") for one in same] + [paid(store, o, f"T{n}") for n, o in enumerate(others)]
    ends = await asyncio.gather(*told, return_exceptions=True)
    assert sum(isinstance(end, Order) for end in ends[:12]) == 1
    assert sum(isinstance(end, TradeNoTaken) for end in ends[:12]) == 11
    assert all(isinstance(end, Order) for end in ends[12:])


@pytest.mark.parametrize("theirs", [US, ""])
async def test_of_two_instances_one_has_a_number(server: Engine, theirs: str) -> None:
    one = server.store
    other = await server.open()
    pairs = [(await waiting(one), await waiting(other)) for _ in range(20)]
    told = [
        paid(store, order, f"T{n}", seller)
        for n, pair in enumerate(pairs)
        for store, order, seller in zip((one, other), pair, (US, theirs), strict=True)
    ]
    ends = await asyncio.gather(*told, return_exceptions=True)
    for first, second in zip(ends[::2], ends[1::2], strict=True):
        assert {type(first), type(second)} == {Order, TradeNoTaken}, (first, second)


async def test_an_archived_payment_keeps_its_number(engine: Engine) -> None:
    order = await completed(engine.store)
    assert await archive_all(engine.store) == 1
    payment = order.payments[order.payment_sn]
    second = await waiting(engine.store)
    for seller in (US, ""):
        with pytest.raises(TradeNoTaken):
            await paid(engine.store, second, payment.trade_no, seller)
    await unpaid(engine.store, second)


async def test_payments_from_before_are_claimed_and_doubles_are_told(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    orders = [await waiting(engine.store) for _ in range(3)]
    for n, one in enumerate(orders):
        await paid(engine.store, one, f"T{n}")
    third = await waiting(engine.store)
    await engine.opened.pop().close()
    migrate(engine.url, "0010")
    first, second = orders[0][1].payment_sn, orders[1][1].payment_sn
    engine.sql("UPDATE payment SET trade_no = 'T0', paid_ms = paid_ms + 1 WHERE payment_sn = ?", second)
    with caplog.at_level(logging.WARNING, "shop_order.migrate"):
        migrate(engine.url)
    (told,) = [record.getMessage() for record in caplog.records if record.name == "shop_order.migrate"]
    assert orders[1][0].order_sn in told and second in told and first in told
    store = await engine.open()
    claimed = engine.sql("SELECT trade_no, seller, payment_sn FROM trade_no_claim ORDER BY trade_no")
    assert claimed == [("T0", "", first), ("T2", "", orders[2][1].payment_sn)]
    for trade_no in ("T0", "T2"):
        with pytest.raises(TradeNoTaken):
            await paid(store, third, trade_no)
    await unpaid(store, third)
    assert (await paid(store, third, "T1")).status is OrderStatus.PAID


@pytest.mark.parametrize("trade_no", ["T" * 65, "T\0", "T 1", "单号", "T\n"])
async def test_what_is_no_number_is_not_kept(store: Store, trade_no: str) -> None:
    one = await waiting(store)
    with pytest.raises(AmountMismatch):
        await paid(store, one, trade_no)
    await unpaid(store, one)
