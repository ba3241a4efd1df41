"""Refunds of live and archived orders: found, listed by page, and waiting for a decision."""

from __future__ import annotations

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import RefundNotFound
from shop_order.domain.ports import RefundFilter, RefundPosition
from shop_order.domain.status import RefundState, RefundType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.repository.dao.store import Store
from tests.contract.archived import archive_all, completed
from tests.contract.engine import DAY_MS, NOW_MS, Engine, added, opened, paid, sn

ADMIN, OTHER_ADMIN = Actor(Role.ADMIN, 1), Actor(Role.ADMIN, 2)
RULES = RefundRules(3650 * DAY_MS, second_approval_fen=10**6)


async def asked(store: Store, of: Order, at_ms: int = NOW_MS, **wish: object) -> Refund:
    """A buyer's request."""
    number, buyer = "R" + sn(), Actor(Role.USER, of.user)
    wanted = RefundWish(**wish)  # type: ignore[arg-type]

    def decide(order: Order) -> Refund:
        return after_sales.request_refund(order, wanted, number, buyer, at_ms, RULES)

    return (await store.orders.change(of.order_sn, decide))[1]


async def bought(store: Store, user: int = 7) -> Order:
    """A paid order of two goods."""
    new = await added(store, (1, 2), (2, 1), user=user)
    return await paid(store, new, await opened(store, new))


async def pages(store: Store, where: RefundFilter, limit: int = 2) -> list[list[str]]:
    """The numbers of every page."""
    found: list[list[str]] = []
    after: RefundPosition | None = None
    while True:
        page = await store.refunds.list(where, limit=limit, after=after)
        found.append([refund.refund_sn for refund in page.refunds])
        if (after := page.next) is None:
            return found


async def test_a_refund_comes_back_as_it_was_stored(store: Store) -> None:
    order = await completed(store, (1, 2), (2, 1))
    refund = await asked(
        store, order, type=RefundType.RETURN, lines=(Line(1, 1), Line(2, 1)), reason="尺寸 '\"👍"
    )
    assert await store.refunds.find(refund.refund_sn) == refund

    def to_the_end(o: Order) -> None:
        after_sales.approve(o, refund.refund_sn, ADMIN, NOW_MS, RefundRules(0, second_approval_fen=1))
        after_sales.approve(o, refund.refund_sn, OTHER_ADMIN, NOW_MS, RULES, reason="同意")
        after_sales.send_parcel(o, refund.refund_sn, "中通", "ZT1", ADMIN, NOW_MS)

    stored = (await store.orders.change(order.order_sn, to_the_end))[0].refunds[refund.refund_sn]
    assert await store.refunds.find(refund.refund_sn) == stored
    assert (stored.approver, stored.approvals, stored.decision, stored.parcel_no) == (1, 2, "同意", "ZT1")


async def test_an_unknown_refund_is_not_found(store: Store) -> None:
    with pytest.raises(RefundNotFound):
        await store.refunds.find("R" + sn())


async def test_pages_go_from_the_newest_to_the_oldest_whatever_their_time(store: Store) -> None:
    mine, others = await bought(store), await bought(store, user=8)
    same = [(await asked(store, mine, NOW_MS, amount_fen=n)).refund_sn for n in range(1, 5)]
    newer = (await asked(store, mine, NOW_MS + 1, amount_fen=1)).refund_sn
    foreign = (await asked(store, others, NOW_MS + 2, amount_fen=1)).refund_sn
    expected = [newer, *sorted(same, reverse=True)]
    assert await pages(store, RefundFilter(user=7)) == [expected[:2], expected[2:4], expected[4:]]
    everything = [sn for page in await pages(store, RefundFilter(), 4) for sn in page]
    assert everything == [foreign, *expected]
    assert await pages(store, RefundFilter(user=9)) == [[]]


async def test_a_list_has_live_and_archived_refunds_by_state(store: Store) -> None:
    old = await completed(store, (1, 2))
    gone = await asked(store, old, amount_fen=5)

    def reject(o: Order) -> None:
        after_sales.reject(o, gone.refund_sn, ADMIN, NOW_MS, reason="no")

    await store.orders.change(old.order_sn, reject)
    assert await archive_all(store) == 1
    live = await asked(store, await bought(store), NOW_MS + DAY_MS)
    assert await pages(store, RefundFilter(user=7)) == [[live.refund_sn, gone.refund_sn]]
    assert await pages(store, RefundFilter(state=RefundState.REJECTED)) == [[gone.refund_sn]]
    assert await pages(store, RefundFilter(7, RefundState.REQUESTED)) == [[live.refund_sn]]
    assert await pages(store, RefundFilter(7, order_sn=old.order_sn)) == [[gone.refund_sn]]
    assert await pages(store, RefundFilter(order_sn=live.order_sn)) == [[live.refund_sn]]
    assert await pages(store, RefundFilter(8, order_sn=live.order_sn)) == [[]]
    assert (await store.refunds.find(gone.refund_sn)).state is RefundState.REJECTED
    again = await asked(store, old, NOW_MS + DAY_MS, amount_fen=7)
    assert (await store.refunds.find(again.refund_sn)).amount_fen == 7, "its order came back"
    assert (await store.refunds.find(gone.refund_sn)).amount_fen == 5


async def test_undecided_refunds_come_oldest_first_from_a_position_on(store: Store) -> None:
    order = await bought(store)
    first = await asked(store, order, NOW_MS, amount_fen=1)
    second = await asked(store, order, NOW_MS + 1, amount_fen=2)
    third = await asked(store, order, NOW_MS + 2, amount_fen=3)

    def decide(o: Order) -> None:
        after_sales.approve(o, second.refund_sn, ADMIN, NOW_MS, RefundRules(0, second_approval_fen=1))

    await store.orders.change(order.order_sn, decide)
    every = [RefundPosition(r.created_ms, r.refund_sn) for r in (first, third)]
    assert await store.refunds.undecided(NOW_MS + 9, 9, None) == every, "not one that an admin approved"
    assert await store.refunds.undecided(NOW_MS + 2, 9, None) == every[:1]
    assert await store.refunds.undecided(NOW_MS + 9, 1, None) == every[:1]
    assert await store.refunds.undecided(NOW_MS + 9, 9, every[0]) == every[1:]


async def test_an_unreadable_refund_is_listed_apart(engine: Engine, store: Store) -> None:
    order = await bought(store)
    good, bad = await asked(store, order, amount_fen=1), await asked(store, order, NOW_MS - 1, amount_fen=2)
    engine.sql(f"UPDATE refund SET type = 'gift' WHERE refund_sn = '{bad.refund_sn}'")
    page = await store.refunds.list(RefundFilter(user=7), limit=5, after=None)
    assert [refund.refund_sn for refund in page.refunds] == [good.refund_sn]
    assert [row.number for row in page.unreadable] == [bad.refund_sn]
