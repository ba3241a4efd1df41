"""nginx and three tiny instances, shared by the tests that leave them whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway.running import Backend, Nginx, until
from tests.plugins.engines import available

Started = Callable[..., Nginx]


@pytest.fixture(scope="session", params=available("nginx"))
def engine(request: pytest.FixtureRequest) -> str:
    """That nginx may be started here; each test starts its own."""
    url: str = request.param
    return url


@pytest.fixture(scope="session")
def backends(engine: str) -> Iterator[list[Backend]]:
    """Three instances that nobody kills."""
    yield from three()


@pytest.fixture
def mortal(engine: str) -> Iterator[list[Backend]]:
    """Three instances of this test alone."""
    yield from three()


@pytest.fixture(scope="session")
def nginx(backends: list[Backend], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A gateway as it is, without limits in the way."""
    with Nginx(tmp_path_factory.mktemp("nginx"), (one.at for one in backends)) as running:
        yield running


@pytest.fixture
def start(backends: list[Backend], tmp_path: Path) -> Iterator[Started]:
    """A gateway of this test alone: `start(token_rate=1)`, `start(mortal)`."""
    with ExitStack() as running:

        def started(behind: list[Backend] = backends, **settings: object) -> Nginx:
            return running.enter_context(Nginx(tmp_path, (one.at for one in behind), **settings))

        yield started


def three() -> Iterator[list[Backend]]:
    """Started together, since each takes a second to import."""
    found = [Backend(name) for name in "abc"]
    try:
        for one in found:
            one.start()
        until(lambda: all(one.listens for one in found))
        yield found
    finally:
        for one in found:
            one.kill()
