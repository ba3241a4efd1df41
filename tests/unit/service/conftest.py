"""The real use cases on a real file, for the tests of what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.world.shop import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A shop of this test alone."""
    world = await World().open()
    yield world
    await world.close()
