"""A log store that is killed and comes back: calls fail in time, and in the end nothing is missing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from deploy.stack import mongo
from deploy.stack.__main__ import ROOT
from shop_order.domain.errors import DependencyDown
from shop_order.repository.dao.store import Store
from shop_order.repository.oplog import open_order_log
from tests.contract.oplog import Log
from tests.contract.test_oplog_feed import STORY, buy, service, told
from tests.faults.engines.own import Own, own_mongo

MOST_WAIT_S = 6.0


@pytest.fixture
async def server() -> AsyncIterator[Own]:
    """It runs already."""
    mongo.install(ROOT)
    server = own_mongo()
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.mark.engine("mongodb")
async def test_a_killed_server_loses_nothing_for_good(store: Store, server: Own) -> None:
    log = Log(server.url, open_order_log(server.url))
    feeding = service(store, log.store, time.monotonic)
    numbers = []
    for _ in range(3):
        numbers += [await buy(store) for _ in range(5)]
        await feeding.run_once()
        server.kill()  # what was acknowledged just now may be lost
        numbers.append(await buy(store))
        began_s = time.monotonic()
        with pytest.raises(DependencyDown):
            await feeding.run_once()
        assert time.monotonic() - began_s < MOST_WAIT_S
        server.start()
    end_s = time.monotonic() + 20
    while (await store.feed.lag())[0] and time.monotonic() < end_s:
        with suppress(DependencyDown):  # the job, too, would try again
            await feeding.run_once()
        await feeding.wait()
    assert await store.feed.lag() == (0, 0)
    assert [await told(log, number) for number in numbers] == [STORY] * 18
    await log.store.close()
