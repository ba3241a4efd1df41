"""What instances on one database share, and what each has for itself."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from shop_order.domain.valueobject.parties import Role
from shop_order.pkg.ids import MAX_WORKER
from tests.e2e.started import run
from tests.faults.processes import SANDBOX, SERVICE
from tests.instances.town import INSTANCES, NEEDED, SECOND, TEA, SharedTown
from tests.plugins.engines import available

pytestmark = pytest.mark.engine(*NEEDED)


async def test_each_has_ids_of_its_own_and_each_job_is_one_instance_s(town: SharedTown) -> None:
    await town.start(SANDBOX, *INSTANCES)
    for number, name in enumerate(INSTANCES):
        async with town.client(100 + number, name) as orders:
            await orders.create_order(TEA)
    workers = [int(str(id)) >> 12 & MAX_WORKER for (id,) in town.rows("SELECT id FROM order_info")]
    assert len(workers) == len(set(workers)) == len(INSTANCES)
    await town.until(lambda: town.holder("timeout") and town.holder("relay"))
    for job in ("timeout", "relay", "refund", "purge"):
        held = [f'shop_order_job_held{{name="{job}"}} 1.0' in town.metrics(name) for name in INSTANCES]
        assert sum(held) == 1, job


async def test_a_start_without_tables_ends_with_one_line(town: SharedTown) -> None:
    town.rows("DROP TABLE alembic_version")
    refused = await run(town.folder, "shop-order", "serve", environ=town._environ[SERVICE])
    line = "shop-order: the order database has no tables yet; run `shop-order migrate`\n"
    assert (refused.code, refused.err) == (2, line)


async def test_a_clock_that_is_moved_at_one_moves_at_all(town: SharedTown) -> None:
    await town.start(SANDBOX, SERVICE, SECOND)
    admin = {"Authorization": f"Bearer {town.token(1, role=Role.ADMIN)}"}
    async with httpx.AsyncClient(base_url=town.url, headers=admin, trust_env=False) as http:
        moved = await http.post("/api/v1/admin/clock", json={"advance_s": 3 * 86_400})
    assert moved.status_code == 200, moved.text
    today = moved.json()["data"]["now"][2:10].replace("-", "")
    await asyncio.sleep(2)
    for name in (SERVICE, SECOND):
        async with town.client(300, name) as orders:
            assert (await orders.create_order(TEA)).order_sn[:6] == today


@pytest.mark.parametrize("registry", available("consul")[:1])
async def test_each_is_registered_and_leaves_when_it_stops(town: SharedTown, registry: str) -> None:
    ports = {name: int(address.rpartition(":")[2]) for name, address in town.addresses.items()}
    services = f"{registry.replace('consul', 'http')}/v1/agent/services"

    def registered() -> set[str]:
        found = httpx.get(services, trust_env=False).json()
        there = [service["Port"] for service in found.values()]
        return {name for name, port in ports.items() if port in there}

    for name in INSTANCES:
        town.set(name, REGISTRY__URL=registry)
    await town.start(*INSTANCES)
    await town.until(lambda: registered() == {*INSTANCES})
    await town.stop(SECOND)
    assert registered() == {*INSTANCES} - {SECOND}
    for name in {*INSTANCES} - {SECOND}:
        await town.stop(name)
    assert registered() == set()
