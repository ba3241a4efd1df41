"""The scan of undecided refunds: what it skips costs no change, whenever it looks."""

from __future__ import annotations

import pytest

from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.status import RefundState
from tests.unit.service.test_refunds import ADMIN, BUYER, DAY_MS, ask, paid
from tests.world.shop import World


async def test_what_two_admins_have_to_approve_is_only_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await paid(world)
    await world.orders.ship(ADMIN, order.order_sn, "SF", "SF1")
    large, small = await ask(world, order, amount_fen=2000), await ask(world, order, amount_fen=5)
    await world.clock.advance(DAY_MS // 1000)
    world.refund_rules = RefundRules(DAY_MS, auto_approve_ms=1, second_approval_fen=1000)
    changed: list[str] = []
    change = world.store.orders.change

    async def counted(order_sn: str, *more: object, **named: object) -> object:
        changed.append(order_sn)
        return await change(order_sn, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(world.store.orders, "change", counted)
    assert [await world.auto_approval.run_once() for _ in range(3)] == [1, 0, 0]
    assert len(changed) == 1
    assert (await world.refunds.get(BUYER, small.refund_sn)).state is RefundState.APPROVED
    assert (await world.refunds.get(BUYER, large.refund_sn)).state is RefundState.REQUESTED
