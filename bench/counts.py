"""`python bench/counts.py`: what a call costs in function calls, whatever else runs on the machine.

Counts the calls of Python and C functions on the event loop and in the store's threads, from request bytes to
response bytes, without transport and neighbours. `--instructions` counts the processor's instead (needs
valgrind). `PYTHONPATH=../old/src:../old python bench/counts.py` counts for the code of another checkout.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import FrameType

import uvloop

from bench import parts
from bench.load import BODIES, body, tokens
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop_order_pb2 import CartItemRequest
from shop_order.cmd.run.app import App
from shop_order.cmd.run.bootstrap import open_log
from shop_order.cmd.run.serve import ensure_schema, tune_gc
from shop_order.configs import load
from shop_order.web.grpc import server as front
from shop_sandbox.seed import BENCH_FIRST_ID

CALLS = 320
AT_ONCE = 16
USERS = 50
CARTS = ("AddShoppingCart", "UpdateShoppingCart", "UpdateCartItemCheck", "GetShoppingCart")
METHODS = ("CreateOrder", "GetOrder", *CARTS)

Call = Callable[[int], Awaitable[None]]


class Counter:
    """`with counter:` counts the calls of every thread that was started after `threads`."""

    def __init__(self) -> None:
        self.python = self.c = 0
        self._counting = False

    def threads(self) -> None:
        """Watch this thread and all that are started from now on."""
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)

    def __enter__(self) -> None:
        self.python = self.c = 0
        self._counting = True

    def __exit__(self, *_: object) -> None:
        self._counting = False

    def _seen(self, frame: FrameType, event: str, called: object) -> None:
        if self._counting:
            self.python += event == "call"
            self.c += event == "c_call"


class Marks:
    """The same under valgrind: getppid(), which nothing else calls, makes it write its counts."""

    def __enter__(self) -> None:
        os.getppid()

    def __exit__(self, *_: object) -> None:
        os.getppid()


async def enough_stock(goods_ids: Sequence[int]) -> Mapping[int, int]:
    """An inventory that has everything."""
    return dict.fromkeys(goods_ids, 1_000)


def calls(services: Mapping[str, Mapping[str, parts.Handler]]) -> dict[str, Call]:
    """A function for each of METHODS that makes the n-th call."""
    bearer = [f"Bearer {token}" for token in tokens([1_000_000 + n for n in range(USERS)])]
    bodies = [body(n) for n in range(BODIES)]
    orders, carts = services["order.OrderService"], services["shop.order.Order"]
    placed: list[tuple[int, int]] = []  # index of the user, id
    number = count()

    def context(who: int, *more: tuple[str, str]) -> parts.Context:
        return parts.Context((("authorization", bearer[who % USERS]), *more))

    async def create(n: int) -> None:
        key = ("idempotency-key", f"counts-{next(number)}")
        answer = await orders["CreateOrder"](bodies[n % BODIES], context(n, key))
        placed.append((n, pb.OrderInfo.FromString(answer).id))

    async def get(n: int) -> None:
        who, id = placed[n]
        await orders["GetOrder"](pb.GetOrderRequest(id=id).SerializeToString(), context(who))

    def of_cart(method: str) -> Call:
        async def one(n: int) -> None:
            goods = BENCH_FIRST_ID + n // USERS % 7
            line = CartItemRequest(goods_id=goods, nums=1 + n % 3, checked=True).SerializeToString()
            await carts[method](b"" if method == "GetShoppingCart" else line, context(n))

        return one

    return {"CreateOrder": create, "GetOrder": get} | {method: of_cart(method) for method in CARTS}


async def run(folder: Path, counter: Counter | Marks) -> None:
    """Call each method, first without counting; prints the counts unless valgrind has them."""
    os.environ |= {
        "SHOP_ORDER_DATA_DIR": str(folder),
        "SHOP_ORDER_LIMIT__USER_RATE": "0",
        "SHOP_ORDER_LIMIT__UNPAID_ORDERS": "0",
        "SHOP_ORDER_LOG__STDOUT": "false",
    }
    loaded = load(os.environ)
    await ensure_schema(loaded)
    logging = open_log(loaded.settings)
    vars(front)["GrpcServer"] = parts.CapturedServer
    core = App(loaded).core
    vars(core.goods)["get_many"] = parts.instant_goods
    vars(core.use_cases.carts.shown)["get_many"] = parts.instant_goods
    vars(core.stock).update(reserve=parts.instant_reserve, available=enough_stock)
    await core.open()
    captured = parts.CapturedServer.services
    made = calls({name: {m: h.unary_unary for m, h in of.items()} for name, of in captured.items()})
    for one in made.values():
        await drive(one)
    tune_gc()
    for method in METHODS:
        with counter:
            await drive(made[method])
        if isinstance(counter, Counter):
            print(f"{method:20} {counter.python / CALLS:7.1f} Python, {counter.c / CALLS:7.1f} C")
    await core.close()
    logging.close()


async def drive(one: Call) -> None:
    """Make CALLS calls, AT_ONCE at a time."""
    for at in range(0, CALLS, AT_ONCE):
        await asyncio.gather(*(one(n) for n in range(at, at + AT_ONCE)))


def under_valgrind(folder: Path) -> None:
    """Run this file again under valgrind; print the instructions of each method."""
    command = ["valgrind", "--tool=callgrind", "--dump-before=getppid"]
    command += [f"--callgrind-out-file={folder / 'counts'}", sys.executable, __file__, "--marks"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    for n, method in enumerate(METHODS):  # the parts before, between and after the methods are left out
        found = re.search(r"^totals: (\d+)", (folder / f"counts.{2 * n + 2}").read_text(), re.M)
        assert found
        print(f"{method:20} {int(found[1]) / CALLS:12,.0f} instructions")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instructions", action="store_true", help="of the processor, by valgrind: minutes")
    parser.add_argument("--marks", action="store_true", help="for the run under valgrind")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="counts-", dir="data") as folder:
        if chosen.instructions:
            under_valgrind(Path(folder))
            return
        counter = Marks() if chosen.marks else Counter()
        if isinstance(counter, Counter):
            counter.threads()
        uvloop.run(run(Path(folder), counter))


if __name__ == "__main__":
    main()
