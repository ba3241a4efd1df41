"""Archiving killed anywhere, and two that archive at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from shop_order.repository.dao.store import Store, open_store
from tests.contract.archived import LATER_MS, PAIRS, archive_all, cancelled, clean, completed, late_money
from tests.contract.engine import Engine
from tests.recording.recorder import child_path

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def another(engine: Engine) -> AsyncIterator[Store]:
    """A second process of the same database; on a file, beside the one that serves."""
    store = open_store(engine.url, next_id=engine.next_id)
    await store.open(serve=False)
    try:
        yield store
    finally:
        await store.close()


async def test_two_that_archive_while_money_comes_late_double_and_lose_nothing(engine: Engine) -> None:
    store = engine.store
    late = [await cancelled(store, user=n) for n in range(40)]
    numbers = [o.order_sn for o in late] + [(await completed(store, user=n)).order_sn for n in range(20)]
    async with another(engine) as other:
        await asyncio.gather(
            archive_all(store),
            archive_all(other),
            *(late_money((store, other)[n % 2], o) for n, o in enumerate(late)),
        )
    live = {number for (number,) in engine.sql("SELECT order_sn FROM order_info")}
    history = {number for (number,) in engine.sql("SELECT order_sn FROM order_info_history")}
    assert live == {o.order_sn for o in late}
    assert history == set(numbers) - live
    assert await clean(store)


RUN = """
import asyncio, itertools, sys
from shop_order.repository.dao.store import open_store
from shop_order.service.upkeep.archive import ArchiveService
import shop_order.service.upkeep.archive as module

module.PAGE = 2

async def run(url, now_ms):
    store = open_store(url, next_id=itertools.count(10**9).__next__)
    await store.open(serve=False)
    service = ArchiveService(
        archive=store.archive, on_unreadable=print, clock=lambda: now_ms, after_days=lambda: 30
    )
    while not (await service.run_once(30)).is_last:
        print("moved", flush=True)
        sys.stdin.readline()
    await store.close()

asyncio.run(run(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_anywhere_it_goes_on_where_it_was(engine: Engine) -> None:
    store, chance = engine.store, random.Random(4)
    numbers = [(await completed(store, (1, 1), (2, 2), user=n)).order_sn for n in range(60)]
    archived = [0]
    while archived[-1] < len(numbers):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUN,
            engine.url,
            str(LATER_MS),
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": child_path()},
        )
        assert process.stdin and process.stdout
        for _ in range(chance.randint(2, 8)):
            await process.stdout.readline()
            process.stdin.write(b"go on\n")
        await asyncio.sleep(chance.uniform(0, 0.005))  # then it is at the next page
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
        rows = [engine.count(table) for pair in PAIRS for table in pair]
        assert [rows[0] + rows[1], rows[2] + rows[3], rows[4] + rows[5]] == [60, 120, 120]
        assert (rows[3], rows[5]) == (2 * rows[1], 2 * rows[1])
        archived.append(rows[1])
    assert len(set(archived)) > 3  # it was killed on its way, and more than once
    assert {o.order_sn for o in await asyncio.gather(*map(store.orders.get, numbers))} == set(numbers)
    assert await clean(store)
