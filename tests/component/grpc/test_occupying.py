"""Somebody tries to take all the places; everybody else is served meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shop_order.api.proto import order_pb2 as pb
from shop_order.pkg.grpc import admission
from shop_order.pkg.grpc import server as server_module
from tests.component.grpc.raw import Raw, crowd
from tests.component.grpc.stubs import SN, Bounds, World

STATUS = "/order.OrderService/CheckOrderStatus"
NOTICE = "/order.OrderService/NotifyPayment"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
ASK = pb.CheckOrderStatusRequest(order_sn=SN)
SERVED_S = 20.0  # of a busy machine; thousands of calls are looked at one by one


async def everybody_is_served(world: World) -> None:
    async with asyncio.timeout(SERVED_S):
        await world.call(STATUS, ASK, pb.OrderStatusResponse)
        await world.call(NOTICE, pb.NotifyPaymentRequest(), pb.OrderInfo, ())
        request = health_pb2.HealthCheckRequest()
        assert (await world.call(CHECK, request, health_pb2.HealthCheckResponse, ())).status == 1
    assert not world.pools.full


@pytest.mark.parametrize(
    ("path", "connections", "calls"),
    [
        (STATUS, 41, 100),
        (WATCH, 1, 4096),
        *(
            pytest.param(path, connections, calls, marks=pytest.mark.long)
            for path, connections, calls in (
                (STATUS, 1, 4096),
                (CHECK, 1, 4096),
                (CHECK, 41, 100),
                (WATCH, 41, 100),
            )
        ),
    ],
)
async def test_calls_without_a_message_take_no_place(
    world: World, path: str, connections: int, calls: int
) -> None:
    async with crowd(world.port, path, connections=connections, calls=calls):
        await everybody_is_served(world)
        assert world.pools.taken() == {"calls": 0, "notices": 0, "streams": 0}


@pytest.mark.parametrize(("connections", "calls"), [(41, 100), (4, 4096)])
async def test_watches_are_bounded_and_outside_of_the_pool(
    world: World, connections: int, calls: int
) -> None:
    async with crowd(world.port, WATCH, connections=connections, calls=calls, body=b"") as opened:
        await everybody_is_served(world)
        assert world.pools.taken()["streams"] <= 64
        async with asyncio.timeout(SERVED_S):
            while any(raw.open > 64 for raw in opened):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_connection_has_at_most_128_calls(world: World) -> None:
    async with crowd(world.port, STATUS, connections=1, calls=200) as (raw,):
        await raw.until_ended(72, within_s=SERVED_S)
        assert (raw.max_streams, len(raw.refused), raw.ended) == (128, 72, set())


@pytest.fixture
async def small(transport: str) -> AsyncIterator[World]:
    """A server with few places."""
    world = World(bounds=Bounds(grpc_calls=4, grpc_address_calls=0, grpc_streams=3, grpc_address_streams=2))
    server = world.server()
    world.port = await server.start()
    yield world
    await server.stop(0)


async def test_a_full_pool_refuses_and_readiness_knows_but_notices_and_health_go_on(small: World) -> None:
    small.orders.delay_s = 2
    asking = [asyncio.create_task(small.call(STATUS, ASK, pb.OrderStatusResponse)) for _ in range(4)]
    async with asyncio.timeout(5):
        while small.pools.taken()["calls"] < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await small.call(STATUS, ASK, pb.OrderStatusResponse)
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert small.pools.full
    await small.call(NOTICE, pb.NotifyPaymentRequest(), pb.OrderInfo, ())
    await small.call(CHECK, health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse, ())
    assert [answer.order_sn for answer in await asyncio.gather(*asking)] == [SN] * 4


async def watches(port: int, count: int) -> list[StatusCode]:
    """Watch so often from one address; what became of each."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        streams: list[Any] = []
        codes = []
        for _ in range(count):
            stream: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            streams.append(stream)
            try:
                await stream.read()
                codes.append(StatusCode.OK)
            except grpc.aio.AioRpcError as refused:
                codes.append(refused.code())
        return codes


async def test_an_address_has_its_own_bound_of_streams(small: World) -> None:
    assert await watches(small.port, 4) == [StatusCode.OK] * 2 + [StatusCode.RESOURCE_EXHAUSTED] * 2


async def test_a_trusted_proxy_has_none_but_there_is_one_for_all(transport: str) -> None:
    bounds = Bounds(grpc_streams=3, grpc_address_streams=1)
    world = World(trusted_proxies=("127.0.0.1",), bounds=bounds)
    server = world.server()
    assert await watches(await server.start(), 4) == [StatusCode.OK] * 3 + [StatusCode.RESOURCE_EXHAUSTED]
    await server.stop(0)


async def test_a_call_of_one_address_too_many_is_refused_and_no_sign_of_a_full_server() -> None:
    world = World(bounds=Bounds(grpc_address_calls=1))
    server = world.server()
    world.port = await server.start()
    world.orders.delay_s = 0.5
    first = asyncio.create_task(world.call(STATUS, ASK, pb.OrderStatusResponse))
    await world.orders.busy.wait()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call(STATUS, ASK, pb.OrderStatusResponse)
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert not world.pools.full
    await first
    await server.stop(0)


@pytest.mark.parametrize(("trusted", "left"), [((), 3), (("127.0.0.1",), 6)])
async def test_an_address_has_its_own_bound_of_connections(
    transport: str, monkeypatch: pytest.MonkeyPatch, trusted: tuple[str, ...], left: int
) -> None:
    monkeypatch.setattr(server_module, "CHECK_INTERVAL_S", 0.05)
    world = World(trusted_proxies=trusted, bounds=Bounds(grpc_address_connections=3))
    server = world.server()
    port = await server.start()
    opened = [await Raw.connect(port) for _ in range(6)]
    await asyncio.sleep(1)
    assert sum(not raw.closed.is_set() for raw in opened) == left
    for raw in opened:
        await raw.close()
    await server.stop(0)


async def test_calls_without_a_message_hold_up_no_stop(transport: str) -> None:
    server = World().server()
    async with crowd(await server.start(), STATUS, connections=2, calls=100) as opened:
        async with asyncio.timeout(5):
            await server.stop(30)
            assert all([await raw.closed.wait() for raw in opened])


# ---- what grpcio does, and the native transport can't ----


async def test_a_call_without_its_message_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission.MESSAGE_WAIT_S == 10
    monkeypatch.setattr(admission, "MESSAGE_WAIT_S", 0.3)
    server = World().server()
    raw = await Raw.connect(await server.start())
    for path in (STATUS, NOTICE, CHECK, WATCH):
        await raw.call(path)
    await raw.until_ended(4, within_s=5)
    assert len(raw.ended) == 4
    await raw.close()
    await server.stop(0)


async def test_of_too_many_calls_without_a_message_the_oldest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_WAITING", 8)
    server = World().server()
    raw = await Raw.connect(await server.start())
    streams = [await raw.call(STATUS) for _ in range(10)]
    await raw.until_ended(2, within_s=5)
    assert raw.ended == set(streams[:2])
    await raw.close()
    await server.stop(0)


async def test_connections_are_bounded() -> None:
    world = World()
    world.settings = world.settings.__class__(max_connections=3)
    server = world.server()
    world.port = await server.start()
    opened = [await Raw.connect(world.port) for _ in range(5)]
    for raw in opened[3:]:
        async with asyncio.timeout(5):
            await raw.closed.wait()
    assert not any(raw.closed.is_set() for raw in opened[:3])
    await opened[0].close()
    for raw in opened[1:]:
        await raw.close()
    await server.stop(0)
