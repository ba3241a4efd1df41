"""What every database promises of leases."""

from __future__ import annotations

import time

import pytest

from shop_order.domain.ports import Fence, LeaseLost
from shop_order.repository.dao.leases import ONLY_FENCE, require_fence
from shop_order.repository.dao.store import Store
from tests.contract.engine import FileEngine


async def test_a_lease_that_was_given_has_a_number(store: Store) -> None:
    assert await store.leases.hold("relay")
    assert store.leases.fence("relay") == Fence("relay", 1)


async def test_the_clock_that_ends_leases_is_the_real_one(store: Store) -> None:
    assert abs(await store.leases.now_ms() - time.time_ns() // 1_000_000) < 60_000


async def test_of_one_process_only_its_own_number_is_taken(file_engine: FileEngine) -> None:
    leases = file_engine.store.leases
    assert await leases.hold("relay")

    async def required(fence: Fence) -> None:
        await file_engine.store._db.writer.submit(lambda session: require_fence(session, fence))

    await required(leases.fence("relay"))
    with pytest.raises(LeaseLost):
        await required(Fence("relay", ONLY_FENCE + 1))
