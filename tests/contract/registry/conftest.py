"""A registry of every engine this machine offers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shop_order.pkg.registry import Registry, open_registry
from tests.plugins.engines import available

collect_ignore = [] if available("consul") else ["test_consul.py"]


@pytest.fixture(params=available("none", "consul"))
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    """An open registry."""
    registry = open_registry(request.param)
    yield registry
    await registry.aclose()
