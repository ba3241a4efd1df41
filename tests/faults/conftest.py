"""Fixtures of the faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.shop import Shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """The whole Shop, with leases so short that a test can outlive one."""
    async with Shop(tmp_path, ORDER__LEASE_S="1") as running:
        yield running
