"""The Shop with a collector beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.observability.collector import Collector
from tests.shop import Shop


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as receiver:
        yield receiver


@pytest.fixture
async def traced(collector: Collector, tmp_path: Path) -> AsyncIterator[Shop]:
    """The whole Shop; the neighbours send their spans to the same collector."""
    async with Shop(tmp_path, TRACE__URL=collector.url) as running:
        yield running
