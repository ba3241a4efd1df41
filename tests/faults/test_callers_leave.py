"""A caller who leaves takes nobody with it, and finds its own order later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.pkg.batching import Batcher
from tests.shop import Shop

GOODS = 101
CALLERS = 4


class Gate:
    """Holds the batches of a batcher until it is opened."""

    def __init__(self, batches: Batcher[Any, Any]) -> None:
        self._batches = batches
        self._in_flight = 0
        self._run = batches._run
        self._open = asyncio.Event()
        batches._run = self._held

    async def _held(self, items: Sequence[Any]) -> Sequence[Any]:
        self._in_flight = len(items)
        await self._open.wait()
        return await self._run(items)

    async def holds(self, count: int) -> bool:
        """So many wait here: in the batch, or in the queue behind it."""
        return self._in_flight + len(self._batches._waiting) >= count

    def open(self) -> None:
        """Let them through from now on."""
        self._open.set()


STAGES: dict[str, Callable[[Any], Batcher[Any, Any]]] = {
    "goods": lambda core: core.goods.batches,
    "reserve": lambda core: core.stock.reservations,
    "commit": lambda core: core.store._db.writer.batches,
}


def create(shop: Shop, user: int, *, key: str = "", timeout_s: float = 10.0) -> Any:
    """CreateOrder over gRPC: the call, which can be cancelled."""
    request = pb.CreateOrderRequest(
        items=[pb.OrderItemRequest(product_id=GOODS, quantity=1)],
        address=pb.AddressInfo(name="张三", phone="13800138000", detail="人民路 1 号"),
        idempotency_key=key,
    )
    assert shop.channel is not None
    return OrderServiceStub(shop.channel).CreateOrder(
        request, metadata=shop.metadata(user), timeout=timeout_s
    )


async def stock_is_only_held_for_orders(shop: Shop) -> None:
    """Leases of callers who left came back."""

    async def so() -> bool:
        leases = await shop.core.stock.leases("", 500)
        held = {lease.order_sn for lease in leases if lease.state == "reserved"}
        return held == set(await shop.core.store.audit.order_sns("", 500))

    await shop.until(so)


@pytest.mark.parametrize("keyed", [False, True], ids=["without a key", "with a key"])
@pytest.mark.parametrize("stage", STAGES)
async def test_callers_who_leave_take_nobody_with_them(shop: Shop, stage: str, keyed: bool) -> None:
    gate = Gate(STAGES[stage](shop.core))
    calls = [create(shop, user, key=f"k{user}" if keyed else "") for user in range(100, 100 + CALLERS)]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await shop.until(lambda: gate.holds(CALLERS))
    for leaving in (0, 2):
        calls[leaving].cancel()
    await asyncio.sleep(0.1)
    gate.open()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(end, BaseException) for end in ends] == [True, False, True, False]
    if keyed:  # the command went on without its caller: the key finds what it made
        again = create(shop, 100, key="k100")
        found = await again
        assert dict(await again.trailing_metadata())["idempotency-replayed"] == "true"
        assert found.order_sn in await shop.core.store.audit.order_sns("", 500)
    await stock_is_only_held_for_orders(shop)
    await shop.check_doctor()


@pytest.mark.parametrize("stage", STAGES)
async def test_a_deadline_that_ends_on_the_way_leaves_an_order_the_key_finds(shop: Shop, stage: str) -> None:
    gate = Gate(STAGES[stage](shop.core))
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await create(shop, 7, key="k", timeout_s=0.3)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    gate.open()
    first = await create(shop, 7, key="k")
    second = await create(shop, 7, key="k")
    assert first.order_sn == second.order_sn
    assert await shop.core.store.audit.order_sns("", 500) == [first.order_sn]
    await stock_is_only_held_for_orders(shop)
    await shop.check_doctor()
