"""The real use cases on a real file, for the tests of what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shop_order.service.upkeep import reconcile
from shop_order.service.upkeep.reconcile import ReconciliationService
from tests.world.bills import DAY, Desk, reconciling
from tests.world.shop import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A shop of this test alone."""
    world = await World().open()
    yield world
    await world.close()


@pytest.fixture
def desk() -> Desk:
    return Desk({DAY: [], DAY - timedelta(days=1): []})


@pytest.fixture
def service(world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> ReconciliationService:
    assert reconcile.MAX_SPREAD_S == 600
    monkeypatch.setattr(reconcile, "MAX_SPREAD_S", 0.0)
    return reconciling(world, desk)
