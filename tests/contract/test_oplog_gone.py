"""A log store that is killed and comes back: calls fail in time, and in the end nothing is missing."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.stack import mongo, processes
from deploy.stack.__main__ import ROOT
from shop_order.domain.errors import DependencyDown
from shop_order.repository.dao.base import Store
from shop_order.repository.oplog import open_order_log
from tests.contract.oplog import Log
from tests.contract.test_oplog_feed import STORY, buy, service, told

NAME = "mongo-of-a-test"
MOST_WAIT_S = 6.0


class Server:
    """A server of our own, which may be killed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "log.db"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        """Start, and wait until it answers."""
        mongo.start_on(ROOT, NAME, self.port, self.file)
        processes.wait(NAME, lambda: mongo.ready_on(self.port))

    def kill(self) -> None:
        """As a crash would."""
        if pid := processes.running(ROOT, NAME):
            os.kill(pid, signal.SIGKILL)
        processes.wait("the end", lambda: not processes.running(ROOT, NAME))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """It runs already."""
    mongo.install(ROOT)
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.engine("mongodb")
async def test_a_killed_server_loses_nothing_for_good(store: Store, server: Server) -> None:
    url = f"mongodb://127.0.0.1:{server.port}/shop_logs"
    log = Log(url, open_order_log(url))
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
