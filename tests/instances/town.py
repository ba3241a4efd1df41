"""Three instances on shared engines, to be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import grpc.aio
import httpx
import pymongo

from shop_order.api.client import AddressInfo, CreateOrderRequest, OrderClient, OrderItemRequest, Retry
from shop_order.api.client.calling import CHANNEL_OPTIONS
from shop_order.pkg.message import GROUPS, TOPICS
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from tests.contract.servers import connected, make
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.plugins.engines import available
from tests.shop import ADDRESS, free_ports

SECOND, THIRD, RELAY = "second", "third", "relay"
INSTANCES = (SERVICE, SECOND, THIRD)
NEEDED = ("mysql", "redis", *(["mongodb"] if available("mongodb") else []))
TEA = CreateOrderRequest([OrderItemRequest(101, 1)], AddressInfo(**ADDRESS))


@dataclass(frozen=True)
class Engines:
    """What the processes share; without an order log of a server it is a file in their data folder."""

    db: str
    cache: str
    oplog: str = ""
    broker: str = ""

    @property
    def own(self) -> Engines:
        """The same servers, with a database, a log and topics of this town alone."""
        name = f"shop_instances_{os.getpid()}_{uuid.uuid4().hex[:6]}"
        return Engines(
            urlunsplit(urlsplit(self.db)._replace(path=f"/{name}")),
            urlunsplit(urlsplit(self.cache)._replace(path=f"/{1 + os.getpid() % 15}")),
            self.oplog and urlunsplit(urlsplit(self.oplog)._replace(path=f"/{name}")),
            self.broker and f"{self.broker}{'&' if '?' in self.broker else '?'}prefix={name[-6:]}",
        )


def offered(*, brokered: bool = False) -> list[Engines]:
    """The engines of this machine, or none if one of them is missing."""
    servers, logs = available("mysql"), available("mongodb")[:1] or [""]
    caches = [url for url in available("redis") if url.startswith("redis://")][:1]
    brokers = available("rocketmq")[:1] if brokered else [""]
    return [
        Engines(db, cache, log, broker)
        for db in servers
        for cache in caches
        for log in logs
        for broker in brokers
    ]


class SharedTown(Processes):
    """`INSTANCES` share tables that `async with` makes and removes."""

    def __init__(self, folder: Path, engines: Engines, **environ: str) -> None:
        self._servers = engines
        self.engines = own = engines.own
        environ = {
            "DB__URL": own.db,
            "CACHE__URL": own.cache,
            "CACHE__TIMEOUT_S": "2",
            "LOG__LEVEL": "info",
            "SERVER__STOP_TIMEOUT_S": "10",
            **({"OPLOG__URL": own.oplog} if own.oplog else {}),
            **({"MESSAGE__URL": own.broker} if own.broker else {}),
            **environ,
        }
        super().__init__(folder, **environ)
        first = self._environ[SERVICE]
        self.addresses = {SERVICE: self.grpc_address}
        self.urls = {SERVICE: self.url}
        for name in (SECOND, THIRD):
            self._add_instance(name, *free_ports(2))
        (relay_port,) = free_ports(1)
        self._environ[RELAY] = {**first, "SHOP_ORDER_MESSAGE__RELAY_PORT": str(relay_port)}
        self._modules[RELAY] = self._modules[SERVICE]
        self._words[RELAY] = ("relay",)
        self._ready[RELAY] = f"http://127.0.0.1:{relay_port}/metrics"
        if own.broker:
            self._environ[SANDBOX]["SHOP_SANDBOX_MESSAGE"] = own.broker

    def _add_instance(self, name: str, grpc_port: int, http_port: int) -> None:
        self._environ[name] = {
            **self._environ[SERVICE],
            "SHOP_ORDER_SERVER__GRPC_PORT": str(grpc_port),
            "SHOP_ORDER_SERVER__HTTP_PORT": str(http_port),
            "SHOP_ORDER_LOG__FILENAME": str(self.folder / f"{name}.json"),
        }
        self._modules[name] = self._modules[SERVICE]
        self.addresses[name] = f"127.0.0.1:{grpc_port}"
        self.urls[name] = f"http://127.0.0.1:{http_port}"
        self._ready[name] = f"{self.urls[name]}/readyz"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(make, self._servers.db, self.engines.db)
        if self.engines.broker:
            address = parse(self.engines.broker)
            await Admin(address.namesrv).make(address, TOPICS, GROUPS)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        self._drop()

    def _drop(self) -> None:
        self.rows(f"DROP DATABASE {urlsplit(self.engines.db).path.strip('/')}")
        if self.engines.oplog:
            with pymongo.MongoClient[dict[str, object]](self.engines.oplog) as logs:
                logs.drop_database(urlsplit(self.engines.oplog).path.strip("/"))

    def client(self, user: int, name: str = SERVICE, *, retry: Retry | None = None) -> OrderClient:
        """A client of one instance, with a connection of its own."""
        options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(self.addresses[name], options=options)
        return OrderClient(channel, timeout_s=20, token=self.token(user), language="", retry=retry)

    def set(self, name: str, **environ: str) -> None:
        """Settings of one process, for its next start."""
        self._environ[name] |= {f"SHOP_ORDER_{key}": value for key, value in environ.items()}

    def view(self, first: str) -> View:
        """This town for a caller who calls `first`, and the others while it is away."""
        others = [address for name, address in self.addresses.items() if name != first]
        return View(self, f"ipv4:{','.join([self.addresses[first], *others])}")

    # ---- what was stored, and who runs ----

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with connected(self.engines.db) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def logged(self, name: str = SERVICE) -> list[dict[str, object]]:
        """The lines of an instance's log; each must be whole."""
        file = self.folder / f"{name}.json"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def holder(self, job: str) -> str:
        """The instance that does a job now; empty while none does."""
        held = f'shop_order_job_held{{name="{job}"}} 1.0'
        return next((name for name in self._running if name in self.urls and held in self.metrics(name)), "")

    def metrics(self, name: str) -> str:
        """What an instance counts."""
        return httpx.get(f"{self.urls[name]}/metrics", trust_env=False, timeout=5).text

    async def until(self, true: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait for it. Raises AssertionError with the end of the log."""
        for _ in range(int(timeout_s / 0.05)):
            if true():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("\n".join(map(str, self.logged()[-30:])))


class View:
    """What a buyer needs of a town."""

    def __init__(self, town: SharedTown, grpc_address: str) -> None:
        self.metadata = town.metadata
        self.sandbox_url = town.sandbox_url
        self.grpc_address = grpc_address
