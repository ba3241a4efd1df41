"""One order database of every engine this machine offers, empty for each test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from shop_order.repository.dao.store import Store
from tests.contract.engine import Engine, FileEngine
from tests.contract.oplog import Log, empty_log
from tests.contract.sealing import Sealing
from tests.contract.tidb import left_out
from tests.plugins.engines import available
from tests.world.files import fresh_folder, migrated_copy

# Tests of servers alone are not even collected where no server is named.
_SERVERS = [
    "test_store_batches.py",
    "test_store_migrations.py",
    "test_store_servers.py",
    "test_store_session.py",
    "test_store_tidb.py",
    "test_server_backup.py",
    "test_server_dies.py",
    "test_server_leases.py",
    "test_server_read_only.py",
    "test_server_reconciliations.py",
]
collect_ignore = [
    *([] if available("mysql") else _SERVERS),
    *([] if available("mongodb") else ["test_oplog_gone.py"]),
    *([] if available("redis") else ["test_cache_instances.py", "test_server_tls.py"]),
]


def _tidb() -> list[str]:
    if not (urls := available("mysql")):
        return []
    from tests.contract.servers import is_tidb

    return [url for url in urls if is_tidb(url)]


TIDB = _tidb()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is otherwise on TiDB: `tests.contract.tidb` says what and why."""
    out = [item for item in items for url in TIDB if url in item.name and left_out(item.name, url)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(scope="session")
def servers() -> Iterator[None]:
    """Databases made on servers go with the run."""
    yield
    if urls := available("mysql"):
        from tests.contract.servers import drop

        for url in urls:
            drop(url)


@pytest.fixture(params=available("sqlite", "mysql"))
async def engine(request: pytest.FixtureRequest, servers: None) -> AsyncIterator[Engine]:
    """An open store on a real file or server, and how to open it again."""
    async for engine in opened(request.param):
        yield engine


@pytest.fixture(params=available("sqlite"))
async def file_engine(request: pytest.FixtureRequest) -> AsyncIterator[FileEngine]:
    """The same, on a file."""
    async for engine in opened(request.param):
        assert isinstance(engine, FileEngine)
        yield engine


@pytest.fixture(params=available("mysql"))
async def server(request: pytest.FixtureRequest, servers: None) -> AsyncIterator[Engine]:
    """The same, on a server."""
    async for engine in opened(request.param):
        yield engine


@pytest.fixture(params=TIDB)
async def tidb(request: pytest.FixtureRequest, servers: None) -> AsyncIterator[Engine]:
    """The same, on TiDB."""
    async for engine in opened(request.param):
        yield engine


async def opened(url: str) -> AsyncIterator[Engine]:
    """An engine, and its end."""
    ids = itertools.count(1000)
    folder = None
    engine: Engine
    if url == "sqlite://":
        folder = fresh_folder()
        engine = FileEngine(f"sqlite:///{migrated_copy(folder / 'order.db')}", ids.__next__)
    else:
        from tests.contract.servers import server_engine

        engine = server_engine(url, ids.__next__)
    await engine.open()
    yield engine
    await engine.close()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(engine: Engine) -> Store:
    """The open store."""
    return engine.store


@pytest.fixture(params=available("sqlite", "mongodb"))
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    """An empty order log."""
    async with empty_log(request.param) as found:
        yield found


@pytest.fixture
async def sealing(engine: Engine) -> Sealing:
    """Noon of the first day, nothing sealed."""
    return await Sealing(engine).open()
