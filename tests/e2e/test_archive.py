"""`shop-order archive` beside a running Shop: buyers, operators and the provider notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shop_order.api.proto import order_pb2 as nine
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.cmd.cli import archive
from shop_order.cmd.run import job_locks
from shop_order.cmd.run.job_locks import exclusive_job
from shop_order.cmd.wiring.core import Core
from shop_order.configs import load
from shop_order.domain.valueobject.parties import Role
from tests.e2e.started import Ran, run
from tests.plugins.engines import available
from tests.shop import ADDRESS, Shop

if TYPE_CHECKING:
    from shop_order.api.proto.order_pb2_grpc import OrderServiceAsyncStub

ORDERS = "/api/v1/orders"
YEAR_S = 365 * 86_400


async def archived(shop: Shop, *words: str) -> Ran:
    """The command, as an operator or a timer starts it."""
    return await run(shop.folder, "shop-order", "archive", *words, environ=shop.environ)


async def received(shop: Shop, **order: Any) -> Mapping[str, Any]:
    """A completed order."""
    paid = await shop.paid(**order)
    await shop.ship(paid["order_sn"])
    await shop.http.post(f"{ORDERS}/{paid['order_sn']}/confirm", headers=shop.bearer())
    return await shop.order(paid["order_sn"])


async def payment_status(shop: Shop, order_sn: str) -> int:
    """Of the latest attempt, or the one that paid."""
    answer = await shop.http.get(f"{ORDERS}/{order_sn}/payment", headers=shop.bearer())
    return int(answer.json()["data"]["status"])


async def numbers(shop: Shop, headers: Mapping[str, str], **query: str) -> list[str]:
    """What a list shows."""
    answer = await shop.http.get(ORDERS, params=query, headers=headers)
    return [order["order_sn"] for order in answer.json()["data"]["items"]]


async def seen(shop: Shop, order: Mapping[str, Any]) -> list[object]:
    """Everything that owner and admin see of an order by its number, over both protocols."""
    found: list[object] = []
    for headers in (shop.bearer(), shop.bearer(1, role=Role.ADMIN)):
        for path in ("", "/status", "/payment"):
            answer = await shop.http.get(f"{ORDERS}/{order['order_sn']}{path}", headers=headers)
            assert answer.status_code == 200, answer.text
            found.append(answer.json()["data"])
    assert shop.channel is not None
    stub: OrderServiceAsyncStub = OrderServiceStub(shop.channel)
    for metadata in (shop.metadata(), shop.metadata(1, role=Role.ADMIN)):
        request = nine.GetOrderRequest(id=int(order["id"]))
        found.append(await stub.GetOrder(request, metadata=metadata))
    return found


async def test_an_archived_order_looks_the_same_and_late_notices_are_answered(shop: Shop) -> None:
    key = {"Idempotency-Key": "once"}
    body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
    late = (await shop.http.post(ORDERS, json=body, headers=shop.bearer() | key)).json()["data"]
    attempt = await shop.open_attempt(late["order_sn"])
    done = await received(shop, nums=2)
    await shop.advance(1800)

    async def cancelled() -> bool:
        return bool((await shop.order(late["order_sn"]))["status"] == 5)

    await shop.until(cancelled)
    await shop.advance(YEAR_S // 2)

    async def closed() -> bool:
        return (await payment_status(shop, late["order_sn"])) == 4

    await shop.until(closed)
    await shop.advance(YEAR_S // 2)
    new = await shop.place()
    before = [await seen(shop, each) for each in (done, late)]

    ran = await archived(shop, "--older-than", "30")
    assert (ran.code, ran.out) == (0, "2 orders archived, 0 of that age are not settled or have changed\n"), (
        ran.err
    )
    assert [await seen(shop, each) for each in (done, late)] == before
    assert await numbers(shop, shop.bearer()) == [new["order_sn"]]
    admin = shop.bearer(1, role=Role.ADMIN)
    assert await numbers(shop, admin, order_sn=done["order_sn"]) == [done["order_sn"]]
    other = await shop.http.get(f"{ORDERS}/{done['order_sn']}", headers=shop.bearer(8))
    assert other.status_code == 404
    await shop.check_doctor()

    again = await shop.http.post(ORDERS, json=body, headers=shop.bearer() | key)
    assert (again.json()["data"]["order_sn"], again.headers["Idempotency-Replayed"]) == (
        late["order_sn"],
        "true",
    )
    own = before[0][2]
    assert isinstance(own, dict)
    assert (await shop.provider_does(own["payment_sn"], "notify_again"))["body"] == "success"
    assert await seen(shop, done) == before[0]

    assert (await shop.provider_does(attempt["payment_sn"], "pay_late"))["body"] == "success"

    async def given_back() -> bool:
        return (await payment_status(shop, late["order_sn"])) == 3

    await shop.until(given_back)
    await shop.check_doctor()
    verified = await run(shop.folder, "shop-order", "audit", "verify", environ=shop.environ)
    assert (verified.code, verified.out.splitlines()[0]) == (0, "3 chains verified, 0 broken")


async def test_the_service_archives_by_itself_where_that_is_set(tmp_path: Path) -> None:
    async with Shop(tmp_path, ORDER__ARCHIVE_AFTER_DAYS="30") as shop:
        done = await received(shop)
        await shop.advance(YEAR_S)
        await shop.stop_service()
        await shop.start_service()

        async def gone() -> bool:
            return not await numbers(shop, shop.bearer())

        await shop.until(gone)
        assert (await shop.order(done["order_sn"]))["status"] == 4
        await shop.check_doctor()


async def test_without_days_it_does_nothing_and_says_so(shop: Shop) -> None:
    ran = await archived(shop)
    assert (ran.code, ran.out) == (2, "")
    assert "--older-than" in ran.err and "ORDER__ARCHIVE_AFTER_DAYS" in ran.err
    assert (await archived(shop, "--older-than", "0")).code == 2


async def test_on_a_file_one_archives_at_a_time(shop: Shop) -> None:
    with exclusive_job(shop.loaded.settings, "archive"):
        ran = await archived(shop, "--older-than", "30")
    assert (ran.code, ran.err) == (2, "shop-order: another archive is running on this database\n")


@pytest.mark.parametrize("consul", available("consul"))
async def test_a_lock_in_consul_lets_one_archive_at_a_time(
    tmp_path: Path, consul: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_locks, "WAIT_S", 0.0)
    async with Shop(tmp_path) as shop:
        core = Core(load(shop.environ | {"SHOP_ORDER_REGISTRY__URL": consul}), token=lambda: "")
        await core.open(serve=False)
        holder, ours = job_locks.job_locks(core), job_locks.job_locks(core)
        try:
            assert await holder.acquire("archive")
            assert await archive.archive_all(core, ours, 30) == 1
            await holder.release("archive")
            monkeypatch.setattr(job_locks, "WAIT_S", 20.0)
            assert await archive.archive_all(core, ours, 30) == 0
        finally:
            await asyncio.gather(holder.close(), ours.close())
            await core.close()
