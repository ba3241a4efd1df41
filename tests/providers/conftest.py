"""One process with the providers' libraries, and one sandbox, for all tests of this folder.

The tests are left out where the libraries were not built: `make test-providers` builds them.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from tests.providers import library as java
from tests.providers.partners import Recorder, recorder
from tests.world.files import give_keys

collect_ignore_glob = [] if java.built() else ["test_*.py"]

Ask = Callable[..., Awaitable[Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They share one loop: that of the sandbox."""
    for item in items:
        is_ours = item.path.parent == Path(__file__).parent
        if is_ours and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def library() -> Iterator[java.Library]:
    running = java.Library()
    yield running
    running.close()


@pytest.fixture(scope="session")
def ask(library: java.Library) -> Ask:
    """A command of the driver, in a thread: the library calls our servers meanwhile."""

    async def asked(do: str, **what: object) -> Any:
        return await asyncio.to_thread(library.ask, do, **what)

    return asked


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order") / "dev"
    give_keys(folder)
    return folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory, keys_dir: Path) -> AsyncIterator[Sandbox]:
    settings = SandboxSettings(
        grpc_port=0,
        http_port=0,
        data_dir=tmp_path_factory.mktemp("sandbox"),
        keys_dir=keys_dir,
        order="127.0.0.1:1",
    )
    clock_ms = lambda: time.time_ns() // 1_000_000  # noqa: E731
    async with Sandbox(settings, order_token=lambda: "none", clock_ms=clock_ms) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """What a buyer's browser, or an operator of the simulator, sends."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def notified() -> AsyncIterator[Recorder]:
    """The merchant's notify address."""
    async with recorder() as running:
        running.reply.body = b"success"
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway() -> AsyncIterator[Recorder]:
    """A gateway that keeps what our channels send."""
    async with recorder() as running:
        yield running
