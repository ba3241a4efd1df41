"""A server that stops while callers go on calling: each is answered, or told that it may try elsewhere."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import grpc.aio

from shop_order.pkg.grpc.server import GrpcServer

CALLERS = 32
ROUNDS = 5


class Busy:
    """Callers who do not give up, and what they were told."""

    def __init__(self) -> None:
        self.begun = self.done = 0
        self.told: Counter[grpc.StatusCode] = Counter()
        self.at_work, self.closed = asyncio.Event(), asyncio.Event()

    async def answer(self, body: bytes, context: Any) -> bytes:
        """What the server does."""
        self.begun += 1
        await asyncio.sleep(0.01)
        self.done += 1
        if self.done == 5 * CALLERS:
            self.at_work.set()
        return body

    async def call_on(self, ask: Any) -> None:
        """Again and again."""
        while not self.closed.is_set():
            try:
                await ask(b"")
                self.told[grpc.StatusCode.OK] += 1
            except grpc.aio.AioRpcError as refused:
                self.told[refused.code()] += 1
                await asyncio.sleep(0.001)


async def test_callers_who_go_on_are_told_that_they_may_try_again_and_no_answer_is_lost(
    transport: str,
) -> None:
    for _ in range(ROUNDS):
        busy = Busy()
        methods: dict[str, Any] = {"Ask": grpc.unary_unary_rpc_method_handler(busy.answer)}
        server = GrpcServer("127.0.0.1:0", {"shop.Test": methods}, transport=transport)
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask: Any = channel.unary_unary("/shop.Test/Ask")
            callers = [asyncio.create_task(busy.call_on(ask)) for _ in range(CALLERS)]
            await busy.at_work.wait()
            await server.stop(5)
            busy.closed.set()
            await asyncio.gather(*callers)
        assert busy.told.keys() == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert busy.begun == busy.done == busy.told[grpc.StatusCode.OK]
