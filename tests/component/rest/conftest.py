"""A whole REST front over the small Shop of `tests.world`, spoken to as a client would."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.component.rest.front import Rest
from tests.world.shop import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The use cases on a real SQLite file."""
    shop = await World().open()
    yield shop
    await shop.close()


@pytest.fixture
async def rest(world: World) -> AsyncIterator[Rest]:
    """The front, with buyer 7's token unless a test says otherwise."""
    async with Rest(world) as front:
        yield front
