"""Stock on lease over gRPC: many callers, restarts, and the questions to the order service."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import InventoryStub
from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.partners import order_desk

if TYPE_CHECKING:
    from shop_order.api.proto.shop.neighbours_pb2_grpc import InventoryAsyncStub

GOODS = 101


def reserving(*orders: tuple[str, int], lease_s: int = 60) -> pb.ReserveRequests:
    return pb.ReserveRequests(
        requests=[
            pb.ReserveRequest(order_sn=order_sn, lines=[pb.Line(goods_id=GOODS, nums=nums)], lease_s=lease_s)
            for order_sn, nums in orders
        ]
    )


async def stock(inventory: "InventoryAsyncStub") -> tuple[int, int, int]:
    one = (await inventory.GetStock(pb.GoodsIds(ids=[GOODS]))).stocks[0]
    return (one.available, one.reserved, one.sold)


async def states(inventory: "InventoryAsyncStub") -> dict[str, str]:
    return {one.order_sn: one.state for one in (await inventory.ListLeases(pb.LeaseFilter())).leases}


async def until(is_so: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - the condition lies in another part, which tells nobody
            await asyncio.sleep(0.01)


async def test_sixteen_callers_never_sell_more_than_twenty(
    sandbox: Sandbox, channel: grpc.aio.Channel
) -> None:
    await sandbox.inventory.set_stock(GOODS, 20)
    inventory = InventoryStub(channel)

    async def caller(name: int) -> int:
        got = 0
        for number in range(5):
            reply = await inventory.Reserve(reserving((f"{name}-{number}-a", 1), (f"{name}-{number}-b", 2)))
            got += sum(nums for one, nums in zip(reply.results, (1, 2), strict=True) if one.ok)
        return got

    taken = sum(await asyncio.gather(*(caller(name) for name in range(16))))
    assert taken == 20, "240 were wanted and every single one fits"
    assert await stock(inventory) == (0, 20, 0)


async def test_answers_stand_in_the_order_of_the_requests(
    sandbox: Sandbox, channel: grpc.aio.Channel
) -> None:
    await sandbox.inventory.set_stock(GOODS, 5)
    reply = await InventoryStub(channel).Reserve(reserving(("B", 3), ("A", 3), ("C", 2)))
    assert [(one.key, one.ok, one.reason) for one in reply.results] == [
        ("B", True, ""),
        ("A", False, "OUT_OF_STOCK"),
        ("C", True, ""),
    ]
    assert list(reply.results[1].goods_ids) == [GOODS]


async def test_double_confirm_and_release_before_reserve(channel: grpc.aio.Channel) -> None:
    inventory = InventoryStub(channel)
    before = await stock(inventory)
    await inventory.Release(pb.OrderSns(order_sns=["late"]))
    reply = await inventory.Reserve(reserving(("late", 1), ("good", 2)))
    assert [one.reason for one in reply.results] == ["TOMBSTONE", ""]
    for _ in range(2):
        reply = await inventory.Confirm(pb.OrderSns(order_sns=["good", "nobody"]))
        assert [one.reason for one in reply.results] == ["", "UNKNOWN"]
    assert await stock(inventory) == (before[0] - 2, 0, 2)
    wanted = pb.ReturnRequest(return_sn="R1", order_sn="good", lines=[pb.Line(goods_id=GOODS, nums=2)])
    for _ in range(2):
        assert (await inventory.Return(pb.ReturnRequests(requests=[wanted]))).results[0].ok
    assert await stock(inventory) == before


async def test_a_batch_beyond_the_bound_is_refused_whole(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await InventoryStub(channel).Reserve(reserving(*((str(one), 1) for one in range(257))))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_leases_are_listed_by_pages(channel: grpc.aio.Channel) -> None:
    inventory = InventoryStub(channel)
    await inventory.Reserve(reserving(*((f"{one:02d}", 1) for one in range(5))))
    first = (await inventory.ListLeases(pb.LeaseFilter(limit=3))).leases
    rest = (await inventory.ListLeases(pb.LeaseFilter(limit=3, after_order_sn=first[-1].order_sn))).leases
    assert [one.order_sn for one in (*first, *rest)] == ["00", "01", "02", "03", "04"]
    assert [(line.goods_id, line.nums) for line in first[0].lines] == [(GOODS, 1)]


async def test_a_restart_keeps_leases_tombstones_and_stock(settings: SandboxSettings, clock: Clock) -> None:
    async with Sandbox(settings, clock_ms=clock) as first:
        await first.inventory.reserve(reserving(("A", 2), ("B", 3)))
        await first.inventory.confirm(pb.OrderSns(order_sns=["B"]))
        await first.inventory.release(pb.OrderSns(order_sns=["C"]))
        before = await first.inventory.get_stock(pb.GoodsIds(ids=[GOODS]))
    async with Sandbox(settings, clock_ms=clock) as second:
        assert await second.inventory.get_stock(pb.GoodsIds(ids=[GOODS])) == before
        listed = (await second.inventory.list_leases(pb.LeaseFilter())).leases
        assert {one.order_sn: one.state for one in listed} == {
            "A": "reserved",
            "B": "confirmed",
            "C": "tombstone",
        }


async def test_verdicts_are_carried_out(sandbox: Sandbox, channel: grpc.aio.Channel, clock: Clock) -> None:
    inventory = InventoryStub(channel)
    before = await stock(inventory)
    await inventory.Reserve(
        reserving(("extend", 1), ("confirm", 1), ("release", 1), ("abandoned", 1), lease_s=5)
    )
    until_ms = clock() + 600_000

    def answer(order_sns: list[str]) -> list[pb.Verdict]:
        return [pb.Verdict(order_sn=one, answer=one.upper(), until_ms=until_ms) for one in order_sns]

    async with order_desk(answer) as (desk, address):
        sandbox.check_back.order.use(address)
        await asyncio.sleep(0.2)
        assert desk.asked == [], "no lease ran out yet"
        clock.ahead_ms += 6_000
        await until(lambda: desk.asked)
        await asyncio.sleep(0.2)
        assert len(desk.asked) == 1, "each was settled by one question"
        assert desk.tokens == ["Bearer desk-token"]
    assert await states(inventory) == {
        "extend": "reserved",
        "confirm": "confirmed",
        "release": "released",
        "abandoned": "released",
    }
    assert await stock(inventory) == (before[0] - 2, 1, 1)
    extended = [
        one for one in (await inventory.ListLeases(pb.LeaseFilter())).leases if one.order_sn == "extend"
    ]
    assert extended[0].until_ms == until_ms
    assert (await inventory.Reserve(reserving(("abandoned", 1)))).results[0].reason == "TOMBSTONE"


async def test_silence_is_not_an_answer(sandbox: Sandbox, channel: grpc.aio.Channel, clock: Clock) -> None:
    inventory = InventoryStub(channel)
    await inventory.Reserve(reserving(("silent", 2), lease_s=1))
    clock.ahead_ms += 3_600_000
    await asyncio.sleep(0.3)
    assert await states(inventory) == {"silent": "reserved"}, "nobody listens at the order service's address"

    said: dict[str, str] = {"silent": "PERHAPS"}

    def answer(order_sns: list[str]) -> list[pb.Verdict]:
        return [pb.Verdict(order_sn=one, answer=said[one]) for one in order_sns]

    async with order_desk(answer) as (desk, address):
        sandbox.check_back.order.use(address)
        await until(lambda: desk.asked, within_s=15)
        await asyncio.sleep(0.1)
        assert await states(inventory) == {"silent": "reserved"}, "an answer nobody agreed on changes nothing"
        said["silent"] = "RELEASE"
        clock.ahead_ms += 60_000
        await until(lambda: len(desk.asked) > 1, within_s=15)
        await asyncio.sleep(0.1)
    assert await states(inventory) == {"silent": "released"}


async def test_a_confirmation_that_overtakes_the_verdict_wins(sandbox: Sandbox) -> None:
    await sandbox.inventory.reserve(reserving(("A", 1)))
    await sandbox.inventory.confirm(pb.OrderSns(order_sns=["A"]))
    await sandbox.inventory.settle([pb.Verdict(order_sn="A", answer="RELEASE")], [])
    listed = (await sandbox.inventory.list_leases(pb.LeaseFilter())).leases
    assert [one.state for one in listed] == ["confirmed"]
