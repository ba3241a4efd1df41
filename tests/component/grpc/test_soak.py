"""Many calls, of which three in ten are cancelled: the others are answered, nothing is left, memory stays."""

import asyncio
import gc
import os
import random
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc import StatusCode

from shop_order.pkg.grpc.admission import Gate
from shop_order.pkg.grpc.server import GrpcServer

pytestmark = pytest.mark.slow

CALLS = 6_000  # a round; SHOP_SOAK_CALLS makes it a long one
CALLERS = 64
CANCELLED = 0.3
GROWTH_MIB = 24.0  # of this process, client and server together


def resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def a_round(port: int, dice: random.Random, calls: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: Any = channel.unary_unary("/shop.Test/Ask")
        left = iter(range(calls))

        async def caller() -> None:
            for n in left:
                call = ask(n.to_bytes(4, "big"), timeout=30)
                if dice.random() < CANCELLED:
                    await asyncio.sleep(dice.random() * 0.004)
                    call.cancel()
                try:
                    assert await call == n.to_bytes(4, "big")
                except asyncio.CancelledError:
                    assert call.cancelled()
                except grpc.aio.AioRpcError as error:  # a connection that cancels too much is ended
                    assert error.code() is StatusCode.UNAVAILABLE, error

        await asyncio.gather(*(caller() for _ in range(CALLERS)))


def running(server: GrpcServer) -> int:
    gate: Gate = vars(server)["_gate"]
    return int(vars(gate)["_running"]) + len(vars(gate)["_waiting"])


@pytest.mark.long  # `make test` takes one of the two transports
async def test_cancelled_calls_leave_nothing_behind(transport: str) -> None:
    dice = random.Random(11)
    calls = int(os.environ.get("SHOP_SOAK_CALLS", CALLS))

    async def answer(body: bytes, context: Any) -> bytes:
        await asyncio.sleep(dice.random() * 0.004)
        return body

    methods: dict[str, Any] = {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
    server = GrpcServer("127.0.0.1:0", {"shop.Test": methods}, transport=transport)
    port = await server.start()
    await a_round(port, dice, calls)
    before = resident_mib()
    for _ in range(2):
        await a_round(port, dice, calls)
    grown = resident_mib() - before
    async with asyncio.timeout(10):
        while running(server):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await server.stop(5)
    print(f"{transport}: {3 * calls} calls, memory grew by {grown:.1f} MiB")
    assert grown < GROWTH_MIB
