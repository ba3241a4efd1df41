"""A running front over stub use cases."""

from collections.abc import AsyncIterator

import pytest

from tests.component.grpc.stubs import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    server = world.server()
    world.port = await server.start()
    yield world
    await server.stop(0)
