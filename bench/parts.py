"""`python -m bench.parts`: CPU microseconds of each part of an order, measured separately."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import uvloop

from bench import empty, machine
from bench.load import BODIES, body, tokens
from bench.shop import SEEDED_GOODS
from shop_order.cmd.run.app import App
from shop_order.cmd.run.bootstrap import open_log
from shop_order.cmd.run.serve import ensure_schema, tune_gc
from shop_order.configs import load
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.pkg.grpc.server import GrpcServer
from shop_order.web.grpc import server as front
from shop_sandbox.seed import BENCH_FIRST_ID

ORDERS = 3_000
CONCURRENCY = 16
SECONDS = 3.0
CATALOGUE = {
    id: Goods(id, f"压测商品 {id}", f"http://127.0.0.1/images/{id}.svg", 1_999, True)
    for id in range(BENCH_FIRST_ID, BENCH_FIRST_ID + SEEDED_GOODS)
}

Handler = Callable[[bytes, "Context"], Awaitable[bytes]]


class Context:
    """A handler's context, without gRPC."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> float:
        return 10.0

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def set_trailing_metadata(self, metadata: object) -> None:
        pass


class CapturedServer(GrpcServer):
    """Records the wrapped methods instead of serving them."""

    services: ClassVar[dict[str, Any]] = {}

    def __init__(self, address: str, services: Mapping[str, Any], **_: Any) -> None:
        super().__init__(address, services)
        self.services.update(services)


async def instant_goods(goods_ids: Sequence[int]) -> Mapping[int, Goods]:
    """A goods service that answers at once."""
    return CATALOGUE


async def instant_reserve(order_sn: str, lines: Sequence[Line]) -> None:
    """An inventory that answers at once."""


async def no_store(*_: object, **__: object) -> None:
    """A store that answers at once."""


async def handler_us(folder: Path, *, store: bool) -> tuple[float, float]:
    """CPU microseconds of CreateOrder from bytes to bytes, without neighbours: loop's thread, all threads."""
    os.environ |= {
        "SHOP_ORDER_DATA_DIR": str(folder),
        "SHOP_ORDER_LIMIT__USER_RATE": "0",
        "SHOP_ORDER_LIMIT__UNPAID_ORDERS": "0",
        "SHOP_ORDER_LOG__STDOUT": "false",
    }
    loaded = load(os.environ)
    await ensure_schema(loaded)
    logging = open_log(loaded.settings)
    vars(front)["GrpcServer"] = CapturedServer
    core = App(loaded).core
    core.goods.get_many = instant_goods  # type: ignore[method-assign]
    core.stock.reserve = instant_reserve  # type: ignore[method-assign]
    if not store:
        core.store.orders.key = no_store  # type: ignore[method-assign]
        core.store.orders.add = no_store  # type: ignore[method-assign]
    await core.open()
    answer = CapturedServer.services["order.OrderService"]["CreateOrder"].unary_unary
    tune_gc()
    await drive(answer, 500)
    thread, process = time.thread_time(), time.process_time()
    await drive(answer, ORDERS)
    used = time.thread_time() - thread, time.process_time() - process
    await core.close()
    logging.close()
    return 1e6 * used[0] / ORDERS, 1e6 * used[1] / ORDERS


async def drive(answer: Handler, orders: int) -> None:
    """Place orders, CONCURRENCY at a time."""
    bearer = [f"Bearer {token}" for token in tokens([1_000_000 + n for n in range(50)])]
    bodies = [body(n) for n in range(BODIES)]
    number = count(time.monotonic_ns())

    def one(n: int) -> Awaitable[bytes]:
        key = ("idempotency-key", f"parts-{next(number)}")
        return answer(bodies[n % BODIES], Context((("authorization", bearer[n % 50]), key)))

    for at in range(0, orders, CONCURRENCY):
        await asyncio.gather(*(one(n) for n in range(at, at + CONCURRENCY)))


def main() -> None:
    """Measure and print the table."""
    plain = empty.server_us("plain", SECONDS)
    lines = [
        ("an empty grpc.aio call of 32 callers, whole process", plain),
        ("one call to another service, alone", empty.server_us("call", SECONDS) - plain),
        ("one visit to another thread, alone", empty.server_us("hop", SECONDS) - plain),
    ]
    Path("data").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="parts-", dir="data"))
    try:
        machine.require_disk(folder)
        code, _ = uvloop.run(handler_us(folder, store=False))
        gc.unfreeze()
        loop, whole = uvloop.run(handler_us(folder, store=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines += [
        ("our code from bytes to bytes: checks, order, event, answer, log line", code),
        (f"key look-up and commit, {CONCURRENCY} together: the loop's thread", loop - code),
        (f"key look-up and commit, {CONCURRENCY} together: reader and writer", whole - loop),
    ]
    sys.stdout.writelines(f"{us:7.0f} µs  {what}\n" for what, us in lines)


if __name__ == "__main__":
    main()
