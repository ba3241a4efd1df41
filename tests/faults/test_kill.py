"""`kill -9` at random moments of a busy run: what was answered is there, once, and the books agree."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from random import Random
from typing import Any

import grpc.aio
import httpx
import pytest

from shop_order.api.proto import order_pb2 as nine
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import InventoryStub
from shop_order.domain.valueobject.parties import Role
from tests.faults.buyers import Buyer, Notebook
from tests.faults.processes import GOODS, SANDBOX, SERVICE, STOCK, Processes

VICTIMS = [(SERVICE,), (SERVICE,), (SANDBOX,), (SERVICE, SANDBOX), (SERVICE,)]
BUYERS = 10
LEASE_S = 2
PENDING, PAID, CANCELLED = 1, 2, 5
REST_S = 30.0  # how long everything may take to come to rest


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_kills_lose_no_answered_order_and_make_none_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("FAULT_SEED", "20261123"))  # another one tells another story
    town = Processes(tmp_path, ORDER__LEASE_S=str(LEASE_S), ORDER__SCAN_INTERVAL_S="0.2")
    notebook = Notebook()
    try:
        await town.start(SANDBOX, SERVICE)
        await busy_run(town, notebook, Random(seed))
        print(
            f"seed {seed}: {len(notebook.answers)} orders, unanswered calls {dict(notebook.unanswered)},"
            f" {notebook.replayed} of them were done all the same"
        )
        assert notebook.unanswered, "no call was on its way at any kill: nothing was tried"
        await all_is_well(town, notebook)
    finally:
        town.end()


async def all_is_well(town: Processes, notebook: Notebook) -> None:
    """The books of the service, the provider and the inventory agree with those of the buyers."""
    async with grpc.aio.insecure_channel(town.grpc_address) as channel:
        await come_to_rest(town)
        await orders_are_what_was_answered(town, OrderServiceStub(channel), notebook)
    await money_is_where_it_belongs(town, notebook)
    await stock_is_where_it_belongs(town, notebook)
    for words in (("doctor",), ("audit", "verify")):
        code, said = await town.says(*words)
        assert code == 0, said


async def busy_run(town: Processes, notebook: Notebook, random: Random) -> None:
    """Buyers shop while processes die and come back; ends when every story was finished."""
    closed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(BUYERS):
            buyer = Buyer(town, 1000 + number, notebook, random.randrange(2**32))
            group.create_task(buyer.shop(closed))
        for victims in VICTIMS:
            await asyncio.sleep(random.uniform(0.3, 1.5))
            town.kill(*victims)
            await town.start(*victims)
        await asyncio.sleep(0.5)
        closed.set()


async def come_to_rest(town: Processes) -> None:
    """Nothing is to be published, asked or sent back any more; the shop's clock is moved on for it."""
    admin = {"Authorization": f"Bearer {town.token(1, role=Role.ADMIN)}"}
    async with httpx.AsyncClient(base_url=town.url, trust_env=False) as http:

        async def advanced() -> bool:
            answer = await http.post("/api/v1/admin/clock", json={"advance_s": 60}, headers=admin)
            assert answer.status_code == 200, answer.text
            return True

        for _ in range(3):  # three times past the first steps of the backoff
            await advanced()
            await asyncio.sleep(0.5)

    async def idle() -> bool:
        waiting = town.rows(
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM refund"
            " WHERE state IN ('approved', 'sent', 'unknown')),"
            " (SELECT count(*) FROM payment WHERE ask_ms IS NOT NULL AND ask_tries = 0)"
        )
        return waiting == [(0, 0, 0)]

    await until(idle)


async def orders_are_what_was_answered(
    town: Processes, orders: Any, notebook: Notebook, *, beside: Collection[str] = ()
) -> None:
    """One order for each key, of the user who asked, in the state the user was told; and no other order,
    but for those `beside`."""
    assert {key: len(found) for key, found in notebook.answers.items() if len(found) != 1} == {}
    answered = {order_sn for found in notebook.answers.values() for order_sn in found}
    assert len(answered) == len(notebook.answers), "two keys led to one order"
    stored = {
        str(sn): int(str(status)) for sn, status in town.rows("SELECT order_sn, status FROM order_info")
    }
    assert set(stored) - set(beside) == answered  # none is missing, and none was made that nobody was told of
    for order_sn in sorted(answered)[:: max(1, len(answered) // 50)]:
        user = notebook.owner[order_sn]
        info = await orders.GetOrderByOrderSn(
            nine.GetOrderByOrderSnRequest(order_sn=order_sn), metadata=town.metadata(user)
        )
        goods, nums = notebook.bought[order_sn]
        assert (info.user_id, info.items[0].product_id, info.items[0].quantity) == (user, goods, nums)
    told = {
        order_sn: CANCELLED
        if order_sn in notebook.cancelled
        else PAID
        if order_sn in notebook.paid
        else PENDING
        for order_sn in answered
    }
    assert {sn: (stored[sn], told[sn]) for sn in told if stored[sn] != told[sn]} == {}


async def money_is_where_it_belongs(town: Processes, notebook: Notebook) -> None:
    """The provider holds the money of paid orders, and gave back that of cancelled ones, once."""
    async with httpx.AsyncClient(base_url=town.sandbox_url, trust_env=False) as provider:
        for order_sn, payment_sn in notebook.paid.items():
            trade = (await provider.get(f"/alipay/sim/{payment_sn}")).json()
            back = [refund["amount_fen"] for refund in trade["refunds"]]
            assert back == ([trade["amount_fen"]] if order_sn in notebook.cancelled else []), order_sn


async def stock_is_where_it_belongs(town: Processes, notebook: Notebook) -> None:
    """Past the lease, what is reserved is for orders that wait for payment, and sold is what was paid."""
    reserved: Counter[int] = Counter()
    sold: Counter[int] = Counter()
    for order_sn, (goods, nums) in notebook.bought.items():
        if order_sn not in notebook.cancelled:
            (sold if order_sn in notebook.paid else reserved)[goods] += nums
    wanted = [(goods, STOCK - reserved[goods] - sold[goods], reserved[goods], sold[goods]) for goods in GOODS]
    async with grpc.aio.insecure_channel(town.neighbours_address) as channel:

        async def found() -> list[tuple[int, int, int, int]]:
            answer = await InventoryStub(channel).GetStock(pb.GoodsIds(ids=GOODS))
            return [(one.goods_id, one.available, one.reserved, one.sold) for one in answer.stocks]

        async def right() -> bool:
            return await found() == wanted

        await until(right, LEASE_S + 10.0, found)


async def until(
    true: Callable[[], Awaitable[bool]],
    timeout_s: float = REST_S,
    otherwise: Callable[[], Awaitable[Any]] | None = None,
) -> None:
    """Wait for it. Raises AssertionError, showing `otherwise`."""
    end = time.monotonic() + timeout_s
    while not await true():
        assert time.monotonic() < end, await otherwise() if otherwise else "not in time"
        await asyncio.sleep(0.2)
