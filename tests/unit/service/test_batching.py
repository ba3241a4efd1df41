"""Batching without a timer: a lone call waits for nothing, and nobody pays for another's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shop_order.pkg.batching import Batcher


class Full(Exception):
    """The queue is full."""


class Slow:
    """A worker that answers when the test opens the gate; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.fail: Exception | None = None

    async def run(self, items: Sequence[int]) -> Sequence[int | BaseException]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.fail:
            raise self.fail
        return [ValueError(item) if item < 0 else item * 10 for item in items]


def batcher(
    slow: Slow, *, max_batch: int = 3, queue: int = 5, sizes: list[int] | None = None
) -> Batcher[int, int]:
    observe = sizes.append if sizes is not None else None
    return Batcher(slow.run, max_batch=max_batch, queue=queue, full=Full, observe=observe)


async def started(batches: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(batches.submit(item)) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_call_waits_for_nothing() -> None:
    slow = Slow()
    slow.gate.set()
    assert await asyncio.wait_for(batcher(slow).submit(4), 0.5) == 40
    assert slow.batches == [[4]]


async def test_what_arrives_while_a_batch_is_in_flight_goes_together() -> None:
    slow, sizes = Slow(), []  # type: ignore[var-annotated]
    batches = batcher(slow, sizes=sizes)
    first = await started(batches, 1)
    rest = await started(batches, 2, 3, 4, 5)
    assert slow.batches == [[1]]
    slow.gate.set()
    assert await asyncio.gather(*first, *rest) == [10, 20, 30, 40, 50]
    assert slow.batches == [[1], [2, 3, 4], [5]]
    assert sizes == [1, 3, 1]


async def test_each_item_has_its_own_result_or_refusal() -> None:
    slow = Slow()
    slow.gate.set()
    got = await asyncio.gather(*(batcher(slow).submit(n) for n in (1, -2, 3)), return_exceptions=True)
    assert [got[0], str(got[1]), got[2]] == [10, "-2", 30]


async def test_a_batch_that_fails_fails_its_own_items_only() -> None:
    slow = Slow()
    batches = batcher(slow)
    slow.fail = RuntimeError("down")
    tasks = await started(batches, 1, 2)
    slow.gate.set()
    for task in tasks:
        with pytest.raises(RuntimeError, match="down"):
            await task
    slow.fail = None
    assert await batches.submit(3) == 30


@pytest.mark.parametrize("results", [[], [1], [StopIteration("over"), 2]])
async def test_whatever_a_worker_answers_nobody_waits_for_ever(results: list[object]) -> None:
    async def run(items: Sequence[int]) -> Sequence[Any]:
        return results if len(items) == 2 else [0] * len(items)

    batches: Batcher[int, Any] = Batcher(run, max_batch=3, queue=5, full=Full)
    first = asyncio.gather(batches.submit(1), batches.submit(2), return_exceptions=True)
    got = await asyncio.wait_for(first, 0.5)
    assert isinstance(got[0], RuntimeError)
    assert got[1] == 2 or isinstance(got[1], RuntimeError)
    assert await batches.submit(3) == 0


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    slow = Slow()
    batches = batcher(slow)
    first, second, third = [*await started(batches, 1), *await started(batches, 2, 3)]
    first.cancel()
    second.cancel()
    await asyncio.sleep(0)
    slow.gate.set()
    assert await asyncio.wait_for(third, 5) == 30
    assert [2, 3] in slow.batches, "the effect of a call whose caller left stands"
    assert await batches.submit(4) == 40


async def test_a_full_queue_says_so_at_once() -> None:
    slow = Slow()
    batches = batcher(slow, queue=2)
    waiting = [*await started(batches, 1), *await started(batches, 2, 3)]
    with pytest.raises(Full):
        await asyncio.wait_for(batches.submit(4), 0.5)
    slow.gate.set()
    assert await asyncio.gather(*waiting) == [10, 20, 30]
    assert await batches.submit(5) == 50


async def test_joining_waits_for_all_that_is_queued() -> None:
    slow = Slow()
    batches = batcher(slow)
    await asyncio.wait_for(batches.join(), 0.5)
    tasks = [*await started(batches, 1), *await started(batches, 2, 3, 4, 5)]
    joining = asyncio.create_task(batches.join())
    await asyncio.sleep(0)
    assert not joining.done()
    slow.gate.set()
    await joining
    assert all(task.done() for task in tasks)
