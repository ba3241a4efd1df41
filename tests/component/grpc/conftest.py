"""A running front over stub use cases, on each transport."""

from collections.abc import AsyncIterator

import pytest

from tests.component.grpc import stubs
from tests.component.grpc.stubs import World


@pytest.fixture(params=["grpcio", "native"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What serves gRPC in this test; every World takes it."""
    name: str = request.param
    monkeypatch.setattr(stubs, "TRANSPORT", name)
    return name


@pytest.fixture
async def world(transport: str) -> AsyncIterator[World]:
    world = World()
    server = world.server()
    world.port = await server.start()
    yield world
    await server.stop(0)
