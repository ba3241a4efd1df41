"""One piece of work for all who ask, and for a while."""

from __future__ import annotations

import asyncio

import pytest

from shop_order.pkg.batching import SingleFlight


class Finder:
    """Counts how often it is asked; raises while `broken`."""

    def __init__(self) -> None:
        self.asked = 0
        self.broken = False
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> int:
        self.asked += 1
        await self.go.wait()
        if self.broken:
            raise OSError("away")
        return self.asked


async def test_it_is_looked_for_once_and_again_when_its_time_is_over() -> None:
    find, now_s = Finder(), [0.0]
    shared = SingleFlight(find, 1.0, lambda: now_s[0])
    assert [await shared() for _ in range(3)] == [1, 1, 1]
    now_s[0] = 0.99
    assert await shared() == 1
    now_s[0] = 1.0
    assert await shared() == 2


async def test_who_asks_meanwhile_waits_for_the_one_that_looks() -> None:
    find = Finder()
    find.go.clear()
    shared = SingleFlight(find, 1.0)
    waiting = [asyncio.create_task(shared()) for _ in range(50)]
    await asyncio.sleep(0)
    find.go.set()
    assert await asyncio.gather(*waiting) == [1] * 50


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    find = Finder()
    find.go.clear()
    shared = SingleFlight(find, 1.0)
    first, second = (asyncio.create_task(shared()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    find.go.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_is_told_to_all_and_not_kept() -> None:
    find = Finder()
    find.broken = True
    shared = SingleFlight(find, 60.0)
    answers = await asyncio.gather(shared(), shared(), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError]
    assert find.asked == 1
    find.broken = False
    assert await shared() == 2
