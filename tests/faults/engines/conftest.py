"""Every engine of our own, and the town that lives on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.own_server import make_of, own_server
from tests.faults.engines.town import ALL, Engines, Town
from tests.plugins.engines import available

collect_ignore = [] if all(map(available, ALL)) else ["test_whole.py"]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """All of them run; the order database is of the first make that is offered."""
    with own_server(make_of(available("mysql")[0])) as database:
        every = Engines(database)
        try:
            asyncio.run(every.start())
            yield every
        finally:
            every.end()


@pytest.fixture(scope="module")
def town(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two instances, relay and neighbours on them."""
    folder: Path = tmp_path_factory.mktemp("town")
    running = Town(folder, engines, ORDER__LEASE_S="2", ORDER__SCAN_INTERVAL_S="0.2")
    try:
        asyncio.run(running.open())
        yield running
    finally:
        running.end()
