"""Fixtures of the instances; all of them need engines that processes can share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.instances.town import Engines, SharedTown, offered


@pytest.fixture(params=offered()[:1], ids=lambda _: "shared")
def engines(request: pytest.FixtureRequest) -> Engines:
    """A database, a cache and a log."""
    found: Engines = request.param
    return found


@pytest.fixture
async def town(engines: Engines, tmp_path: Path) -> AsyncIterator[SharedTown]:
    """Processes that are not started yet."""
    async with SharedTown(tmp_path, engines) as made:
        yield made
