"""Consul beside a running Shop: registered, followed, killed, forgetful, back; buyers go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop_order.pkg.registry.consul import Consul
from shop_sandbox.server import Sandbox
from tests.faults.engines.own import Own
from tests.shop import Shop

pytestmark = [pytest.mark.engine("consul"), pytest.mark.slow]
NEIGHBOURS = ("goods-service", "inventory-service", "user-service", "event-inbox")


class Town(Shop):
    """The Shop whose neighbours are names in Consul."""

    def __init__(self, folder: Path, engine: Own, **environ: str) -> None:
        names = dict(zip(("GOODS", "INVENTORY", "USERS", "INBOXES"), NEIGHBOURS, strict=True))
        named = {f"NEIGHBOURS__{key}": name for key, name in names.items()}
        self.consul = engine.address
        super().__init__(folder, REGISTRY__URL=f"consul://{engine.address}", **named, **environ)

    def _sandbox(self, **more: Any) -> Sandbox:
        return super()._sandbox(consul=self.consul, **more)

    async def serves(self) -> bool:
        """Whether it found its neighbours: Consul looks at them first."""
        try:
            await self.place()
        except (AssertionError, httpx.HTTPError):
            return False
        return True

    async def ready(self) -> Any:
        return (await self.http.get("/readyz")).json()


@pytest.fixture
async def registry(own_consul: Own) -> AsyncIterator[Consul]:
    """Our own eyes on it."""
    engine = Consul(f"consul://{own_consul.address}")
    yield engine
    await engine.aclose()


async def registered(registry: Consul) -> list[str]:
    services: Any = (await registry.request("GET", "/agent/services")).json()
    return sorted(id for id, service in services.items() if service["Service"] == "order-service")


async def test_an_instance_is_registered_while_it_serves_and_consul_finds_it_healthy(
    own_consul: Own, registry: Consul, tmp_path: Path
) -> None:
    async with Town(tmp_path, own_consul) as town:
        ours = f"order-service-127.0.0.1-{town.ports['grpc']}"

        async def known() -> bool:
            return await registered(registry) == [ours]

        await town.until(known)

        async def passing() -> bool:
            rows: Any = (await registry.request("GET", "/health/service/order-service?passing=1")).json()
            return [row["Service"]["ID"] for row in rows] == [ours]

        await town.until(passing, 25)
        await town.until(town.serves, 25)
        await town.stop_service()
        assert await registered(registry) == []


async def test_buyers_go_on_while_consul_is_gone_and_it_learns_of_us_again(
    own_consul: Own, registry: Consul, tmp_path: Path
) -> None:
    async with Town(tmp_path, own_consul) as town:
        await town.until(town.serves, 25)

        own_consul.kill(forget=True)

        async def said() -> bool:
            return "registry" in str(await town.ready())

        await town.until(said)
        assert (await town.http.get("/readyz")).status_code == 200
        await town.place()
        await town.paid()

        await asyncio.to_thread(own_consul.start)

        async def back() -> bool:
            return await registered(registry) == [f"order-service-127.0.0.1-{town.ports['grpc']}"]

        await town.until(back, 20)
        await town.place()
        assert "registry" not in str(await town.ready())
        await town.check_doctor()


async def test_a_start_without_consul_serves_as_soon_as_it_comes(
    own_consul: Own, registry: Consul, tmp_path: Path
) -> None:
    own_consul.kill()
    async with Town(tmp_path, own_consul) as town:
        assert (await town.http.get("/readyz")).status_code == 200
        await asyncio.to_thread(own_consul.start)

        await town.until(town.serves, 25)


async def test_a_shared_setting_in_the_kv_is_taken_up_while_it_runs(
    own_consul: Own, registry: Consul, tmp_path: Path
) -> None:
    async with Town(tmp_path, own_consul) as town:
        setting = "/kv/order-service/order/pay_timeout_s"
        await registry.request("PUT", setting, json=77)

        async def taken() -> bool:
            return bool(town.core.settings.order.pay_timeout_s == 77)

        await town.until(taken)
        await registry.request("PUT", setting, json="never")

        async def refused() -> bool:
            return "config" in str(await town.ready())

        await town.until(refused)
        assert town.core.settings.order.pay_timeout_s == 77
        await registry.request("DELETE", setting)
