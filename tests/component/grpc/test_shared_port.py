"""One port that several servers share below somebody who holds it."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.pkg.grpc import server as room
from shop_order.pkg.grpc.server import GrpcServer
from shop_order.pkg.listening import hold

CALLERS = 8
WITHIN_S = 20.0


def answering(name: bytes, address: str) -> GrpcServer:
    """A server that answers with its name, after a moment."""

    async def answer(body: bytes, context: Any) -> bytes:
        await asyncio.sleep(0.002)
        return name

    methods: dict[str, Any] = {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
    return GrpcServer(address, {"shop.Test": methods}, share_port=True)


async def test_a_caller_with_one_connection_meets_every_worker_in_time_and_no_call_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "SHARED_AGE_MS", 150)
    met: Counter[bytes] = Counter()
    with hold("127.0.0.1", 0) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        servers = [answering(name, address) for name in (b"one", b"two")]
        for server in servers:
            await server.start()
        options = [("grpc.enable_retries", 1), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            ask: Any = channel.unary_unary("/shop.Test/Ask")

            async def call_on() -> None:
                while len(met) < 2 or met.total() < 500:
                    met[await ask(b"")] += 1

            async with asyncio.timeout(WITHIN_S):
                await asyncio.gather(*(call_on() for _ in range(CALLERS)))
        for server in servers:
            await server.stop(1)
    assert set(met) == {b"one", b"two"}
