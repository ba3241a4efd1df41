"""How many files an order passes on its way from the wire to the disk and to its message.

Counted is every file that executes anything between the call and the publication of its event, after a
warm-up. Not counted are wiring and settings, tools that know nothing of orders (among them the SQL drivers
and the leases of jobs and worker ids), the guard of every call (who calls, how often), and the order log,
which has a job of its own.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import shop_order
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from tests.shop import ADDRESS, Shop

ROOT = Path(shop_order.__file__).parent
NOT_COUNTED = (
    "api/",
    "cmd/",
    "configs/",
    "pkg/",
    "web/auth/",
    "repository/cache/",
    "repository/dao/engine/",
    "repository/dao/leases",
    "repository/oplog/",
    "service/upkeep/orderlog",
    "domain/order_log",
)
MAX_FILES = {"grpc": 20, "rest": 23}


class Recorder:
    """The files of the product that execute something while `on`, in every thread started after this one."""

    def __init__(self) -> None:
        self.on = False
        self.files: set[str] = set()

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if self.on and event == "call":
            self.files.add(frame.f_code.co_filename)

    def counted(self) -> set[str]:
        """The files that count, below the package."""
        ours = (Path(name) for name in self.files if name.startswith(f"{ROOT}/"))
        names = (path.relative_to(ROOT).as_posix() for path in ours)
        return {name for name in names if not name.startswith(NOT_COUNTED)}


@contextmanager
def recording() -> Iterator[Recorder]:
    """Listen in this thread and in those that start from now on."""
    recorder = Recorder()
    before = sys.getprofile()
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    try:
        yield recorder
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


async def over_grpc(shop: Shop) -> None:
    assert shop.channel is not None
    request = pb.CreateOrderRequest(
        items=[pb.OrderItemRequest(product_id=101, quantity=1)], address=pb.AddressInfo(**ADDRESS)
    )
    await OrderServiceStub(shop.channel).CreateOrder(request, metadata=shop.metadata())


async def over_rest(shop: Shop) -> None:
    await shop.place()


async def is_published(shop: Shop) -> bool:
    return bool((await shop.core.store.outbox.lag())[0] == 0)


async def path_of_one(shop: Shop, place: Callable[[Shop], Awaitable[None]], recorder: Recorder) -> set[str]:
    """The files of one order from its call until it is published."""
    recorder.files.clear()
    recorder.on = True
    await place(shop)
    for _ in range(20):
        await asyncio.sleep(0.5)
        recorder.on = False  # the question below passes files of its own
        if await is_published(shop):
            return recorder.counted()
        recorder.on = True
    raise AssertionError("not published within 10 s")


@pytest.mark.engine("sqlite", "memory", "embedded")
@pytest.mark.parametrize(("wire", "place"), [("grpc", over_grpc), ("rest", over_rest)])
async def test_an_order_passes_few_files(
    tmp_path: Path, wire: str, place: Callable[[Shop], Awaitable[None]]
) -> None:
    with recording() as recorder:
        async with Shop(tmp_path, ORDER__SCAN_INTERVAL_S="60") as shop:
            for _ in range(3):
                await place(shop)
            await shop.until(lambda: is_published(shop))
            paths = [await path_of_one(shop, place, recorder) for _ in range(4)]
    files = sorted(set.intersection(*paths))  # other jobs run beside some of the orders, not beside all
    for room in ("web/", "service/", "domain/", "repository/", "gateway/"):
        assert any(name.startswith(room) for name in files), f"nothing of {room} was seen: {files}"
    assert "service/upkeep/relay.py" in files, files
    assert len(files) <= MAX_FILES[wire], f"{len(files)} files:\n" + "\n".join(files)
