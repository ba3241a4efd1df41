"""One order database of every engine this machine offers, empty for each test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator

import pytest

from shop_order.repository.dao.base import Store
from tests.contract.engine import Engine
from tests.plugins.engines import available
from tests.world.files import fresh_folder, migrated_copy

# What only shows where instances share an engine.
collect_ignore = [] if available("redis") else ["test_cache_instances.py"]


@pytest.fixture(params=available("sqlite"))
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An open store on a real file, and how to open it again."""
    folder = fresh_folder()
    path = migrated_copy(folder / "order.db")
    ids = itertools.count(1000)
    engine = Engine(f"{request.param}/{path}", path, ids.__next__)
    await engine.open()
    yield engine
    await engine.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(engine: Engine) -> Store:
    """The open store."""
    return engine.store
