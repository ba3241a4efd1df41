"""`kill -9` at each step of a payment, a notice, a refund and a balance payment, on the embedded engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.faults.deaths import Mortals, play
from tests.faults.points import CASES, Case, name_of
from tests.faults.processes import SANDBOX, SERVICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SETTINGS = {"ORDER__LEASE_S": "2", "ORDER__SCAN_INTERVAL_S": "0.2"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    """Service and neighbours, which outlive the tests but for their deaths."""
    running = Mortals(tmp_path_factory.mktemp("town"), **SETTINGS)
    try:
        asyncio.run(running.start(SANDBOX, SERVICE))
        yield running
    finally:
        running.end()


@pytest.mark.long(one_of=20)
@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_money_survives_a_death_at_each_step(town: Mortals, case: Case) -> None:
    await play(town, *case)
