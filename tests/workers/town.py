"""Instances of one or more workers on shared engines, to be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import grpc.aio
import pymongo

from shop_order.api.client import AddressInfo, CreateOrderRequest, OrderClient, OrderItemRequest, Retry
from shop_order.api.client.calling import CHANNEL_OPTIONS
from shop_order.pkg.message.rocketmq.address import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from shop_order.pkg.message.topics import GROUPS, TOPICS
from tests.contract.servers import connected, make
from tests.faults.processes import SANDBOX, SERVICE, START_S, Processes
from tests.plugins.engines import available
from tests.shop import ADDRESS, free_ports

SECOND, RELAY = "second", "relay"
TEA = CreateOrderRequest([OrderItemRequest(101, 1)], AddressInfo(**ADDRESS))


@dataclass(frozen=True)
class Engines:
    """What the processes share."""

    db: str
    cache: str
    oplog: str
    broker: str = ""

    @property
    def own(self) -> Engines:
        """The same servers, with a database, a log and topics of this town alone."""
        name = f"shop_workers_{os.getpid()}_{uuid.uuid4().hex[:6]}"
        return Engines(
            urlunsplit(urlsplit(self.db)._replace(path=f"/{name}")),
            urlunsplit(urlsplit(self.cache)._replace(path=f"/{1 + os.getpid() % 15}")),
            urlunsplit(urlsplit(self.oplog)._replace(path=f"/{name}")),
            self.broker and f"{self.broker}{'&' if '?' in self.broker else '?'}prefix={name[-6:]}",
        )


def offered(*, brokered: bool = False) -> list[Engines]:
    """The engines of this machine, or none if one of them is missing."""
    servers, logs = available("mysql")[:1], available("mongodb")[:1]
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
    """`SERVICE` and `SECOND` are two instances on tables that `async with` makes and removes."""

    def __init__(self, folder: Path, engines: Engines, *, workers: int = 2, **environ: str) -> None:
        self._servers = engines
        self._count = workers
        self.engines = own = engines.own
        environ = {
            "SERVER__WORKERS": str(workers),
            "DB__URL": own.db,
            "CACHE__URL": own.cache,
            "CACHE__TIMEOUT_S": "2",
            "OPLOG__URL": own.oplog,
            "LOG__LEVEL": "info",
            "SERVER__STOP_TIMEOUT_S": "10",
            **({"MESSAGE__URL": own.broker} if own.broker else {}),
            **environ,
        }
        super().__init__(folder, **environ)
        first = self._environ[SERVICE]
        grpc_port, http_port, relay_port = free_ports(3)
        self._addresses = (self.grpc_address, f"127.0.0.1:{grpc_port}")
        self._turns = cycle((0, 1))
        self.second_address = f"127.0.0.1:{grpc_port}"
        self.second_url = f"http://127.0.0.1:{http_port}"
        first["SHOP_ORDER_MESSAGE__RELAY_PORT"] = str(relay_port)
        first["TMPDIR"] = str(folder)  # a killed parent leaves its counters there
        self._environ[SECOND] = {
            **first,
            "SHOP_ORDER_SERVER__GRPC_PORT": str(grpc_port),
            "SHOP_ORDER_SERVER__HTTP_PORT": str(http_port),
            "SHOP_ORDER_LOG__FILENAME": str(folder / "second.json"),
        }
        self._environ[RELAY] = first
        self._modules |= {SECOND: self._modules[SERVICE], RELAY: self._modules[SERVICE]}
        self._ready |= {
            SECOND: f"{self.second_url}/readyz",
            RELAY: f"http://127.0.0.1:{relay_port}/metrics",
        }
        if own.broker:
            self._environ[SANDBOX]["SHOP_SANDBOX_MESSAGE"] = own.broker

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
        with pymongo.MongoClient[dict[str, object]](self.engines.oplog) as logs:
            logs.drop_database(urlsplit(self.engines.oplog).path.strip("/"))

    async def _serving(self, name: str) -> None:
        await super()._serving(name)  # the first of its workers does
        if name in (SERVICE, SECOND) and self._count > 1:
            await self.whole(name)

    def _command(self, name: str, *words: str) -> list[str]:
        return super()._command(name, *(("relay",) if name == RELAY and words == ("serve",) else words))

    def client(self, user: int, *, address: str = "", retry: Retry | None = None) -> OrderClient:
        """A client with a connection of its own: the kernel gives it to one of the workers."""
        options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(address or self.grpc_address, options=options)
        return OrderClient(channel, timeout_s=20, token=self.token(user), language="", retry=retry)

    def both(self) -> BothInstances:
        """A view of this town for callers who know both instances."""
        return BothInstances(self)

    # ---- what was stored, and who runs ----

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with connected(self.engines.db) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def logged(self, name: str = SERVICE) -> list[dict[str, object]]:
        """The lines of an instance's log; each must be whole."""
        file = self.folder / f"{name}.json"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def workers(self, name: str = SERVICE) -> dict[int, int]:
        """Pids of the workers that run now, by their numbers."""
        found = {}
        for line in self.logged(name):
            if line["msg"] == "worker_ready":
                found[int(str(line["number"]))] = int(str(line["pid"]))
        return {number: pid for number, pid in found.items() if alive(pid)}

    def on_duty(self, name: str = SERVICE) -> int:
        """The number of the worker that does what one does for all."""
        return [int(str(line["number"])) for line in self.logged(name) if line["msg"] == "worker_on_duty"][-1]

    def kill_worker(self, number: int, name: str = SERVICE) -> int:
        """`kill -9` one worker; its pid."""
        pid = self.workers(name)[number]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def until(self, true: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait for it. Raises AssertionError with the end of the log."""
        for _ in range(int(timeout_s / 0.05)):
            if true():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("\n".join(map(str, self.logged()[-30:])))

    async def whole(self, name: str = SERVICE) -> None:
        """Wait until all workers of an instance serve."""
        await self.until(lambda: len(self.workers(name)) == self._count, START_S)


class BothInstances:
    """What a buyer needs of a town; every other buyer calls the second instance first."""

    def __init__(self, town: SharedTown) -> None:
        self.metadata = town.metadata
        self.sandbox_url = town.sandbox_url
        self._addresses = town._addresses
        self._turns = town._turns

    @property
    def grpc_address(self) -> str:
        """Both, one of them first."""
        first = next(self._turns)
        return f"ipv4:{self._addresses[first]},{self._addresses[1 - first]}"


def alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be buried does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
