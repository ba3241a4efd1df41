"""Calls go round the instances of a service and follow changes without a dropped one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.pkg.grpc.balancer import BalancedChannel
from shop_order.pkg.grpc.client import open_channel

Start = Callable[[], Awaitable[tuple[str, grpc.aio.Server]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts an instance whose answer is its own address."""
    servers: list[grpc.aio.Server] = []

    async def one() -> tuple[str, grpc.aio.Server]:
        server = grpc.aio.server()
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"

        async def who(_request: bytes, _context: object) -> bytes:
            await asyncio.sleep(0.005)
            return address.encode()

        handlers: Any = {"Who": grpc.unary_unary_rpc_method_handler(who)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Test", handlers),))
        await server.start()
        servers.append(server)
        return address, server

    yield one
    for server in servers:
        await server.stop(0)


@pytest.fixture
async def balanced() -> AsyncIterator[BalancedChannel]:
    """A channel that nobody told of instances yet."""
    channel = BalancedChannel("test", open_channel, grace_s=2)
    yield channel
    await channel.close()


async def test_the_instances_get_equal_shares(balanced: BalancedChannel, start: Start) -> None:
    addresses = [(await start())[0] for _ in range(3)]
    balanced.use(addresses)
    who = balanced.unary_unary("/t.Test/Who")
    await asyncio.gather(*(who(b"", timeout=5) for _ in range(3)))
    answers = Counter([(await who(b"", timeout=5)).decode() for _ in range(30)])
    assert answers == dict.fromkeys(addresses, 10)


async def test_no_call_is_dropped_while_instances_come_leave_and_die(
    balanced: BalancedChannel, start: Start
) -> None:
    (a, a_server), (b, b_server), (c, _) = [await start() for _ in range(3)]
    balanced.use([a, b])
    who = balanced.unary_unary("/t.Test/Who")
    answers: list[str] = []
    over = False

    async def calling() -> None:
        while not over:
            answers.append((await who(b"", timeout=5)).decode())

    callers = [asyncio.create_task(calling()) for _ in range(8)]
    await asyncio.sleep(0.3)
    balanced.use([a, b, c])
    await asyncio.sleep(0.3)
    balanced.use([b, c])  # a leaves in order: told first, stopped after
    await a_server.stop(1)
    await asyncio.sleep(0.3)
    await b_server.stop(0)  # b dies: nobody was told
    await asyncio.sleep(0.3)
    only_c = len(answers)
    balanced.use([c])
    await asyncio.sleep(0.3)
    over = True
    await asyncio.gather(*callers)
    assert set(answers) == {a, b, c}
    assert set(answers[only_c + 8 :]) == {c}


async def test_without_a_healthy_instance_a_call_fails_at_once_and_works_when_one_comes(
    balanced: BalancedChannel, start: Start
) -> None:
    balanced.use([])
    who = balanced.unary_unary("/t.Test/Who")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await who(b"", timeout=5)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert balanced.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
    address, _ = await start()
    balanced.use([address])
    assert await who(b"", timeout=5) == address.encode()


async def test_the_first_call_waits_for_the_registrys_first_answer(
    balanced: BalancedChannel, start: Start
) -> None:
    address, _ = await start()
    call = asyncio.create_task(balanced.unary_unary("/t.Test/Who")(b"", timeout=5))
    await asyncio.sleep(0.05)
    balanced.use([address])
    assert await call == address.encode()


async def test_it_waits_no_longer_than_the_call_may_take(balanced: BalancedChannel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asyncio.wait_for(balanced.unary_unary("/t.Test/Who")(b"", timeout=0.05), 1)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_second_attempt_has_what_is_left_of_the_call_s_time(
    balanced: BalancedChannel, start: Start
) -> None:
    async def refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.sleep(0.6)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not here")
        return b""

    handlers: Any = {"Slow": grpc.unary_unary_rpc_method_handler(refuse)}
    found = [await start() for _ in range(2)]
    for _, server in found:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Slow", handlers),))
    balanced.use([address for address, _ in found])
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asyncio.wait_for(balanced.unary_unary("/t.Slow/Slow")(b"", timeout=0.8), 1.1)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_another_failure_than_an_unreachable_instance_is_not_repeated(
    balanced: BalancedChannel, start: Start
) -> None:
    balanced.use([(await start())[0], (await start())[0]])
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await balanced.unary_unary("/t.Test/Nothing")(b"", timeout=5)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
