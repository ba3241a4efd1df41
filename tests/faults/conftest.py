"""Fixtures of the faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.plugins.engines import available
from tests.shop import Shop

# They start engines of their own; that the machine has them is known from those it names.
collect_ignore = [] if available("redis") else ["test_redis_gone.py", "test_redis_fails_over.py"]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """The whole Shop, with leases so short that a test can outlive one."""
    async with Shop(tmp_path, ORDER__LEASE_S="1") as running:
        yield running
