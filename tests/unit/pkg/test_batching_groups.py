"""Batches that let others go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from shop_order.pkg.batching import MAX_YIELD_S, Batcher


class Stage:
    """Remembers its batches; each takes until the gate is open."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gate = asyncio.Event()
        self.batches: Batcher[int, int] = Batcher(self.run, max_batch=64, queue=64, full=OverflowError)

    async def run(self, items: Sequence[int]) -> Sequence[int]:
        self.seen.append(list(items))
        await self.gate.wait()
        return items


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_batch_waits_while_one_ahead_is_in_flight_and_takes_along_what_came_meanwhile() -> None:
    first, second = Stage(), Stage()
    first.gate.set()
    first.batches.yield_to(second.batches)
    ahead = asyncio.create_task(second.batches.submit(0))
    await turns()
    tasks = [asyncio.create_task(first.batches.submit(n)) for n in (1, 2)]
    await turns()
    tasks.append(asyncio.create_task(first.batches.submit(3)))
    await turns()
    assert first.seen == []
    second.gate.set()
    await asyncio.gather(ahead, *tasks)
    assert first.seen == [[1, 2, 3]]


async def test_nobody_waits_for_one_that_has_nothing_to_do() -> None:
    first, second = Stage(), Stage()
    first.gate.set()
    first.batches.yield_to(second.batches)
    started = time.perf_counter()
    await first.batches.submit(1)
    assert time.perf_counter() - started < MAX_YIELD_S


async def test_one_ahead_that_hangs_holds_nobody_up_for_long() -> None:
    first, second = Stage(), Stage()
    first.gate.set()
    first.batches.yield_to(second.batches)
    hanging = asyncio.create_task(second.batches.submit(0))
    await turns()
    assert await asyncio.wait_for(first.batches.submit(1), 50 * MAX_YIELD_S) == 1
    assert not hanging.done()
    second.gate.set()
    await hanging


async def test_a_group_goes_through_two_stages_as_one() -> None:
    first, second = Stage(), Stage()
    first.gate.set()
    second.gate.set()
    first.batches.yield_to(second.batches)

    async def both(n: int) -> None:
        await first.batches.submit(n)
        await second.batches.submit(n)

    await asyncio.gather(*(both(n) for n in range(8)))
    assert first.seen == second.seen == [list(range(8))]
