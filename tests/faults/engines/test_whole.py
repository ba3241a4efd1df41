"""The service on all engines at once: it sells, and it goes on when one of them is killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from random import Random
from typing import Any

import grpc.aio
import httpx
import pytest

from shop_order.api.proto import order_pb2 as nine
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.domain.valueobject.parties import Role
from tests.faults.buyers import Buyer, Notebook
from tests.faults.engines.own import Mortal
from tests.faults.engines.town import ALL, SECOND, Town
from tests.faults.processes import SERVICE
from tests.faults.test_kill import (
    come_to_rest,
    money_is_where_it_belongs,
    orders_are_what_was_answered,
    stock_is_where_it_belongs,
    until,
)
from tests.shop import ADDRESS

BUYERS = 4
REST_S = 0.5  # light load
ALIPAY = 1
PAID, COMPLETED = 2, 4
pytestmark = [pytest.mark.engine(*ALL), pytest.mark.slow, pytest.mark.timeout(600)]


def bearer(town: Town, user: int, role: Role = Role.USER) -> dict[str, str]:
    return {"Authorization": f"Bearer {town.token(user, role=role)}"}


async def status(town: Town, order_sn: str, at: str) -> int:
    async with httpx.AsyncClient(base_url=town.urls[at], trust_env=False) as http:
        answer = await http.get(f"/api/v1/orders/{order_sn}", headers=bearer(town, 7))
        assert answer.status_code == 200, answer.text
        return int(answer.json()["data"]["status"])


async def pay_at_the_provider(town: Town, attempt: Any) -> None:
    """The buyer follows the link, and pays."""
    async with httpx.AsyncClient(base_url=town.sandbox_url, trust_env=False, timeout=10) as provider:
        assert (await provider.get(attempt["payment_url"])).status_code == 200
        said = await provider.post(f"/alipay/sim/{attempt['payment_sn']}/pay")
        assert said.status_code == 200, said.text


async def test_an_order_is_bought_over_rest_shipped_at_the_other_instance_and_confirmed(town: Town) -> None:
    first, second = (
        httpx.AsyncClient(base_url=town.urls[name], trust_env=False, timeout=10) for name in (SERVICE, SECOND)
    )
    async with first, second:
        wanted = {"items": [{"goods_id": 101, "nums": 2}], "address": ADDRESS}
        placed = await first.post("/api/v1/orders", json=wanted, headers=bearer(town, 7))
        assert placed.status_code == 200, placed.text
        order_sn = placed.json()["data"]["order_sn"]
        assert await status(town, order_sn, SECOND) == 1
        opened = await second.post(
            f"/api/v1/orders/{order_sn}/pay", json={"payment_type": "alipay"}, headers=bearer(town, 7)
        )
        assert opened.status_code == 200, opened.text
        await pay_at_the_provider(town, opened.json()["data"])
        await until_it_is(town, order_sn, PAID)
        parcel = {"logistics_company": "SF", "logistics_no": "SF1234567890"}
        admin = bearer(town, 1, Role.ADMIN)
        shipped = await second.post(f"/api/v1/admin/orders/{order_sn}/ship", json=parcel, headers=admin)
        assert shipped.status_code == 200, shipped.text
        confirmed = await first.post(f"/api/v1/orders/{order_sn}/confirm", headers=bearer(town, 7))
        assert confirmed.status_code == 200, confirmed.text
        await until_it_is(town, order_sn, COMPLETED)
        told = await second.get(f"/api/v1/admin/orders/{order_sn}/logs", headers=admin)
        assert [entry["new_status"] for entry in told.json()["data"]["logs"]][-1] == COMPLETED


async def test_an_order_is_bought_paid_shipped_and_confirmed_over_grpc(town: Town) -> None:
    async with (
        grpc.aio.insecure_channel(town.addresses[SERVICE]) as one,
        grpc.aio.insecure_channel(town.addresses[SECOND]) as other,
    ):
        first, second = OrderServiceStub(one), OrderServiceStub(other)
        mine, admin = town.metadata(7), town.metadata(1, role=Role.ADMIN)
        request = nine.CreateOrderRequest(
            items=[nine.OrderItemRequest(product_id=101, quantity=1)],
            address=nine.AddressInfo(name="张三", phone="13800138000", detail="人民路 1 号"),
        )
        order_sn = (await first.CreateOrder(request, metadata=mine)).order_sn
        pay = nine.PayOrderRequest(order_sn=order_sn, payment_type=ALIPAY)
        attempt = await second.PayOrder(pay, metadata=mine)
        about = {"payment_url": attempt.payment_url, "payment_sn": attempt.payment_sn}
        await pay_at_the_provider(town, about)
        await until_it_is(town, order_sn, PAID)
        parcel = nine.ShipOrderRequest(order_sn=order_sn, logistics_company="SF", logistics_no="SF1")
        await first.ShipOrder(parcel, metadata=admin)
        await second.ConfirmReceipt(nine.ConfirmReceiptRequest(order_sn=order_sn), metadata=mine)
        await until_it_is(town, order_sn, COMPLETED)


async def until_it_is(town: Town, order_sn: str, wanted: int) -> None:
    """Both instances show it, whatever their cache had."""
    for name in (SERVICE, SECOND):

        async def shown(at: str = name) -> bool:
            return await status(town, order_sn, at) == wanted

        await until(shown)


async def test_each_engine_is_killed_under_light_load_and_everything_comes_back_by_itself(town: Town) -> None:
    random = Random(int(os.environ.get("FAULT_SEED", "20261123")))
    engines, notebook, closed = town.engines, Notebook(), asyncio.Event()
    others = [str(sn) for (sn,) in town.rows("SELECT order_sn FROM order_info")]
    deaths: list[tuple[Mortal, str, int]] = [
        (engines.redis, "cache", 200),
        (engines.broker, "message", 200),
        (engines.log, "order_log", 200),
        (engines.registry, "registry", 200),
        (engines.database, "database", 503),
        (engines.config, "config", 200),
    ]
    sold: dict[str, int] = {}
    async with asyncio.TaskGroup() as group:
        for number in range(BUYERS):
            at = town.addresses[(SERVICE, SECOND)[number % 2]]
            buyer = Buyer(town, 1000 + number, notebook, random.randrange(2**32), at=at, rest_s=REST_S)
            group.create_task(buyer.shop(closed))
        for engine, missing, code in deaths:
            await live_through(town, notebook, engine, missing, code, sold)
        closed.set()
    print(f"sold while each was away: {sold}; unanswered: {dict(notebook.unanswered)}")
    assert all(count for name, count in sold.items() if name != "database"), "buyers had to wait"
    await books_agree(town, notebook, others)


async def live_through(
    town: Town, notebook: Notebook, engine: Mortal, missing: str, code: int, sold: dict[str, int]
) -> None:
    """It is killed, missed, and found again when it is back."""
    await asyncio.to_thread(engine.kill)
    await town.until_missing(missing, code)
    before = len(notebook.answers)
    await asyncio.sleep(3)
    sold[missing] = len(notebook.answers) - before
    await asyncio.to_thread(engine.start)
    await town.until_ready()
    before = len(notebook.answers)

    async def sells() -> bool:
        return len(notebook.answers) > before

    await until(sells)


async def books_agree(town: Town, notebook: Notebook, others: Sequence[str]) -> None:
    """No answered order is lost or doubled; money, stock, history and messages agree."""
    async with grpc.aio.insecure_channel(town.grpc_address) as channel:
        await come_to_rest(town)
        await orders_are_what_was_answered(town, OrderServiceStub(channel), notebook, beside=others)
    await money_is_where_it_belongs(town, notebook)
    await stock_is_where_it_belongs(town, notebook)
    for words in (("doctor",), ("audit", "verify")):
        code, said = await town.says(*words)
        assert code == 0, said
