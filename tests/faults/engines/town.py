"""The whole stack of a company: two instances, their relay and the neighbours, on every engine we know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from shop_order.configs.sources.nacos import NacosSource
from tests.contract.own_server import Server
from tests.contract.servers import connected
from tests.faults.engines.own import Own, own_consul, own_mongo, own_nacos, own_redis, own_rocketmq
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import free_ports

ALL = ("mysql", "redis", "rocketmq", "mongodb", "consul", "nacos")
SECOND, RELAY = "second", "relay"
NEIGHBOURS = {
    "GOODS": "goods-service",
    "INVENTORY": "inventory-service",
    "USERS": "user-service",
    "INBOXES": "event-inbox",
}
BACK_S = 90.0  # the machine that tests is busy


class Engines:
    """One of each."""

    def __init__(self, database: Server) -> None:
        self.database = database
        self.redis = own_redis()
        self.broker = own_rocketmq()
        self.log = own_mongo()
        self.registry = own_consul()
        self.config = own_nacos()

    @property
    def _own(self) -> Sequence[Own]:
        return self.redis, self.broker, self.log, self.registry, self.config

    async def start(self) -> None:
        """All but the database, which runs already, and the document that Nacos is asked for."""
        for one in self._own:  # one by one: together they would wait for the processor longer than they may
            await asyncio.to_thread(one.start)
        await asyncio.to_thread(NacosSource(self.config.url).publish, "order: {pay_timeout_s: 1800}\n")

    def end(self) -> None:
        """Nothing of them is left."""
        for one in self._own:
            one.end()

    def settings(self) -> dict[str, str]:
        """What the service is told of them."""
        return {
            "DB__URL": self.database.url,
            "CACHE__URL": self.redis.url,
            "CACHE__TIMEOUT_S": "1",  # the machine is busy: a slow answer is none of the deaths tried here
            "MESSAGE__URL": self.broker.url,
            "OPLOG__URL": self.log.url,
            "REGISTRY__URL": self.registry.url,
            "CONFIG__URL": self.config.url,
            **{f"NEIGHBOURS__{key}": name for key, name in NEIGHBOURS.items()},
        }


class Town(Processes):
    """Two `shop-order serve`, one `shop-order relay`, one `shop-sandbox serve`."""

    start_s = BACK_S

    def __init__(self, folder: Path, engines: Engines, **environ: str) -> None:
        self.engines = engines
        relay_port, grpc_port, http_port = free_ports(3)
        super().__init__(folder, **engines.settings(), MESSAGE__RELAY_PORT=str(relay_port), **environ)
        self.urls = {SERVICE: self.url, SECOND: f"http://127.0.0.1:{http_port}"}
        self.addresses = {SERVICE: self.grpc_address, SECOND: f"127.0.0.1:{grpc_port}"}
        for name in (SECOND, RELAY):
            self._modules[name] = self._modules[SERVICE]
            # Each has a folder as if on a machine of its own; the development keys are the same everywhere.
            keys, mine = folder / "order" / "dev", folder / name
            mine.mkdir()
            (mine / "dev").symlink_to(keys)
            self._environ[name] = {
                **self._environ[SERVICE],
                "SHOP_ORDER_LOG__FILENAME": str(folder / f"{name}.json"),
                "SHOP_ORDER_DATA_DIR": str(mine),
            }
        self._environ[SECOND] |= {
            "SHOP_ORDER_SERVER__GRPC_PORT": str(grpc_port),
            "SHOP_ORDER_SERVER__HTTP_PORT": str(http_port),
        }
        self._environ[SANDBOX] |= {
            "SHOP_SANDBOX_MESSAGE": engines.broker.url,
            "SHOP_SANDBOX_CONSUL": engines.registry.address,
        }
        self._ready[SECOND] = f"{self.urls[SECOND]}/readyz"
        self._ready[RELAY] = f"http://127.0.0.1:{relay_port}/metrics"
        self._words[RELAY] = ("relay",)

    async def open(self) -> None:
        """Migrate, start everything, and wait until the neighbours are found."""
        code, said = await self.says("migrate")
        assert code == 0, said
        await self.start(SANDBOX, SERVICE, SECOND, RELAY)
        await self.until_ready()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What a query finds in the order database."""
        with connected(self.engines.database.url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    async def readiness(self) -> dict[str, tuple[int, str, list[str]]]:
        """What /readyz of each instance says: code, status, what is missing."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            return {name: _said(await http.get(f"{url}/readyz")) for name, url in self.urls.items()}

    async def until_missing(self, what: str, code: int = 200) -> None:
        """At least one instance says that this is missing."""

        def told(said: dict[str, tuple[int, str, list[str]]]) -> bool:
            return any(found[0] == code and what in found[2] for found in said.values())

        await self._until(told, f"nobody misses {what}")

    async def until_ready(self) -> None:
        """Every instance has everything."""
        whole: tuple[int, str, list[str]] = (200, "ready", [])
        await self._until(lambda said: all(found == whole for found in said.values()), "not whole again")

    async def _until(self, true: Any, otherwise: str) -> None:
        said: Any = None
        try:
            async with asyncio.timeout(BACK_S):
                while not true(said := await self.readiness()):  # noqa: ASYNC110 - nobody tells us
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{otherwise}: {said}") from None


def _said(answer: httpx.Response) -> tuple[int, str, list[str]]:
    body = answer.json()
    return answer.status_code, body["status"], body["missing"]
