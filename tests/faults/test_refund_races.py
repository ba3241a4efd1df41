"""Refunds against all that may happen at the same moment: nothing is paid twice, and nothing is lost.

Twenty orders a batch race at once; what is still open afterwards is decided and settled, and then everything
must add up: at the provider, in the order, in its history and in the stock.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from shop_order.api.proto.shop import neighbours_pb2
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import OrderStatus, RefundState
from shop_order.domain.valueobject.parties import Role
from tests.shop import Shop

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine("sqlite", "memory", "embedded")]

ROUNDS, BATCHES = 20, 10  # of each race
GOODS, NUMS = 109, 2
SECOND_APPROVAL_FEN = 1000  # a whole refund needs two admins, one of a fen does not
# A connection that was idle may be closed at the moment it is used.
PLAIN: dict[str, Any] = {
    "timeout": 20,
    "trust_env": False,
    "limits": httpx.Limits(max_keepalive_connections=0),
}
SEED = int(os.environ.get("FAULT_SEED", "20261123"))
ENDED = {RefundState.SUCCEEDED, RefundState.REJECTED, RefundState.WITHDRAWN, RefundState.SETTLED}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """The whole Shop; nothing is scanned unless a test says so."""
    folder = tmp_path_factory.mktemp("shop")
    async with (
        Shop(
            folder,
            ORDER__SCAN_INTERVAL_S="3600",
            PRICING__FREIGHT_FEN="800",
            REFUND__SECOND_APPROVAL_FEN=str(SECOND_APPROVAL_FEN),
        ) as running,
        httpx.AsyncClient(base_url=running.url, **PLAIN) as http,
        httpx.AsyncClient(base_url=running.sandbox_url, **PLAIN) as provider,
    ):
        await running.http.aclose()
        await running.provider.aclose()
        running.http, running.provider = http, provider
        await running.sandbox.inventory.set_stock(GOODS, 1_000_000)
        yield running


class Racer:
    """One order, and what its buyer, the admins and the provider do with it."""

    def __init__(self, shop: Shop, random: Random) -> None:
        self.shop, self.random = shop, random
        self.order_sn = self.payment_sn = ""

    async def bought(self, *, paid: bool = True, shipped: bool = False) -> None:
        placed = await self.shop.place(goods=GOODS, nums=NUMS)
        self.order_sn = placed["order_sn"]
        self.payment_sn = (await self.shop.open_attempt(self.order_sn))["payment_sn"]
        if paid:
            await self.shop.provider_does(self.payment_sn, "pay")
        if shipped:
            await self.shop.ship(self.order_sn)

    async def post(self, path: str, body: Any = None, *, admin: int = 0) -> None:
        """A request that may come too late, but never fails otherwise."""
        bearer = self.shop.bearer(admin, role=Role.ADMIN) if admin else self.shop.bearer()
        answer = await self.shop.http.post(f"/api/v1{path}", json=body, headers=bearer)
        assert answer.status_code in (200, 409), answer.text

    async def request(self) -> None:
        body = self.random.choice(
            [{}, {"amount_fen": 1}, {"items": [{"goods_id": GOODS, "nums": 1}]}, {"type": "return"}]
        )
        await self.post(f"/orders/{self.order_sn}/refunds", body)

    async def decide(self) -> None:
        step = self.random.choice(["approve", "approve", "reject"])
        for sn in await self.numbers(RefundState.REQUESTED):
            body = {"reason": "好"}
            await self.post(f"/admin/refunds/{sn}/{step}", body, admin=self.random.choice([1, 2]))

    async def withdraw(self) -> None:
        for sn in await self.numbers(RefundState.REQUESTED, RefundState.AWAITING_RETURN):
            await self.post(f"/refunds/{sn}/withdraw")

    async def ship(self) -> None:
        body = {"logistics_company": "SF", "logistics_no": "SF1"}
        await self.post(f"/admin/orders/{self.order_sn}/ship", body, admin=1)

    async def confirm(self) -> None:
        await self.post(f"/orders/{self.order_sn}/confirm")

    async def cancel(self) -> None:
        await self.post(f"/admin/orders/{self.order_sn}/cancel", admin=2)

    async def give_up(self) -> None:
        await self.post(f"/orders/{self.order_sn}/cancel")

    async def pay_late(self) -> None:
        """Refused, if it is paid already."""
        await self.shop.provider.post(f"/alipay/sim/{self.payment_sn}/pay_late")

    async def notify_again(self) -> None:
        """Refused, where the provider knows no trade yet."""
        await self.shop.provider.post(f"/alipay/sim/{self.payment_sn}/notify_again")

    async def send(self) -> None:
        await self.shop.core.settlement.refund_due()

    async def numbers(self, *states: RefundState) -> list[str]:
        order = await self.order()
        return [refund.refund_sn for refund in order.refunds.values() if refund.state in states]

    async def order(self) -> Order:
        order: Order = await self.shop.core.store.orders.get(self.order_sn)
        return order

    async def race(self, *steps: Callable[[], Awaitable[None]], within_s: float = 0.1) -> None:
        async def soon(step: Callable[[], Awaitable[None]]) -> None:
            await asyncio.sleep(self.random.uniform(0, within_s))
            await step()

        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(soon(step))

    async def finish(self) -> None:
        """Admins decide what is open, and goods that were sent back arrive."""
        for admin in (1, 2):
            for sn in await self.numbers(RefundState.REQUESTED):
                await self.post(f"/admin/refunds/{sn}/approve", admin=admin)
        for sn in await self.numbers(RefundState.REQUESTED):  # no money was left for it
            await self.post(f"/admin/refunds/{sn}/reject", {"reason": "已退完"}, admin=1)
        for sn in await self.numbers(RefundState.AWAITING_RETURN):
            await self.post(f"/admin/refunds/{sn}/received", admin=1)


Race = Callable[[Racer], Coroutine[Any, Any, None]]


async def two_admins(one: Racer) -> None:
    await one.bought(shipped=one.random.random() < 0.5)
    await one.request()
    for sn in await one.numbers(RefundState.REQUESTED):
        first, second = (partial(one.post, f"/admin/refunds/{sn}/approve", admin=n) for n in (1, 2))
        await one.race(first, second, first, second, *one.random.sample([one.send, one.decide], 1))


async def refund_and_ship(one: Racer) -> None:
    await one.bought()
    await one.race(one.request, one.ship, one.decide, one.send)


async def refund_and_complete(one: Racer) -> None:
    await one.bought(shipped=True)
    await one.race(one.request, one.confirm, one.decide, one.shop.core.timeouts.run_once)


async def refund_and_late_notice(one: Racer) -> None:
    await one.bought(paid=False)
    await one.race(one.pay_late, one.give_up, one.request, one.notify_again, one.send, within_s=0.5)


async def refund_and_cancel(one: Racer) -> None:
    await one.bought()
    await one.race(one.request, one.cancel, one.decide, one.withdraw, one.send)


async def ship_and_cancel(one: Racer) -> None:
    await one.bought()
    await one.race(one.ship, one.cancel, one.confirm, one.send)


async def everything_at_once(one: Racer) -> None:
    await one.bought(paid=one.random.random() < 0.8)
    steps = [one.request, one.ship, one.confirm, one.cancel, one.give_up, one.decide, one.withdraw]
    await one.race(one.pay_late, one.notify_again, one.send, one.request, *one.random.sample(steps, 5))


RACES: Mapping[str, Race] = {
    "two admins": two_admins,
    "refund x ship": refund_and_ship,
    "refund x complete": refund_and_complete,
    "refund x late notice": refund_and_late_notice,
    "refund x cancel": refund_and_cancel,
    "ship x cancel": ship_and_cancel,
    "all": everything_at_once,
}


ALWAYS_CANCELLED = ("refund x cancel", "refund x late notice")  # nearly, since all ways lead there


@pytest.mark.long
@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("name", RACES)
async def test_whoever_comes_first_the_money_adds_up(shop: Shop, name: str, batch: int) -> None:
    random = Random(f"{SEED} {name} {batch}")
    racers = [Racer(shop, random) for _ in range(ROUNDS)]
    async with asyncio.TaskGroup() as group:
        for racer in racers:
            group.create_task(RACES[name](racer))
    for _ in range(2):
        for racer in racers:
            await racer.finish()
        await shop.advance(120)
        while await shop.core.settlement.query_due() + await shop.core.settlement.refund_due():
            pass

    async def published() -> bool:
        return bool((await shop.core.store.outbox.lag())[0] == 0)

    await shop.until(published)
    ends = {await must_add_up(shop, racer) for racer in racers}
    assert len(ends) > 1 or name in ALWAYS_CANCELLED, "one side always came first: this was no race"


async def must_add_up(shop: Shop, racer: Racer) -> str:
    """Compare the order with its provider, its history and the stock; say how it ended."""
    order = await racer.order()
    events: list[Any] = list(await shop.core.store.orders.history(racer.order_sn))
    assert {refund.state for refund in order.refunds.values()} <= ENDED
    trade = (await shop.provider.get(f"/alipay/sim/{racer.payment_sn}")).json()
    back = Counter({one["out_request_no"]: one["amount_fen"] for one in trade["refunds"]})
    refunded = {r.out_refund_no: r.amount_fen for r in order.refunds.values() if r.is_refunded}
    assert back == refunded, "each refund reached the buyer once, and no other did"
    assert sum(refunded.values()) <= order.pay_fen
    for kind in ("refund.approved", "refund.sent", "refund.succeeded", "refund.returned"):
        numbers = Counter(e.payload.decode().split('"refund_sn":"')[1][:28] for e in events if e.type == kind)
        assert not [sn for sn, times in numbers.items() if times > 1], kind
    for refund in order.refunds.values():
        must_have_approvals(refund, events)
    types = Counter(event.type for event in events)
    assert types["order.shipped"] + types["order.cancelled"] <= 1
    if order.status is OrderStatus.CANCELLED and types["order.paid"]:
        assert sum(refunded.values()) == order.pay_fen
    if order.status is OrderStatus.PAID:
        assert sum(refunded.values()) < order.pay_fen
    after = neighbours_pb2.LeaseFilter(after_order_sn=racer.order_sn[:-1], limit=9)
    leases = await shop.sandbox.inventory.list_leases(after)
    lease = next(one for one in leases.leases if one.order_sn == racer.order_sn)
    came_back = sum(
        line.nums for r in order.refunds.values() if r.is_refunded and not r.surplus for line in r.lines
    )
    assert sum(line.nums for line in lease.returned) == came_back <= NUMS
    return f"{order.status.name} {order.refund_status.name}"


def must_have_approvals(refund: Refund, events: Sequence[Any]) -> None:
    """Two of different admins, if it is large."""
    payloads = [(event.type, orjson.loads(event.payload)) for event in events]
    approved = [
        (type, payload["operator_id"])
        for type, payload in payloads
        if payload.get("refund_sn") == refund.refund_sn
        and type in ("refund.first_approved", "refund.approved")
    ]
    if refund.is_decided and not refund.surplus and refund.amount_fen >= SECOND_APPROVAL_FEN:
        (first, one), (last, other) = approved[-2:]
        assert (first, last) == ("refund.first_approved", "refund.approved")
        assert one != other
        assert refund.approvals == 2
