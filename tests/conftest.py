"""Fixtures of every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.shop import Shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """The whole Shop on free ports, fresh for this test."""
    async with Shop(tmp_path) as running:
        yield running
