"""Engines of a test's own on free ports, which may be killed; what is installed is the stack's."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.stack import consul, mongo, nacos, processes, rocketmq
from deploy.stack.__main__ import ROOT
from deploy.stack.redis import answer
from tests.shop import free_ports

START_S = 180.0  # several JVMs may begin at once on a busy machine


class Mortal(Protocol):
    """An engine as these tests see it."""

    @property
    def url(self) -> str:
        """As the settings take it."""

    def start(self) -> None:
        """Start on the data it had, and wait until it answers in its own protocol."""

    def kill(self) -> None:
        """As a power cut would."""


@dataclass
class Own:
    """One engine in a folder of its own."""

    name: str
    address: str
    url: str
    folder: Path
    begin: Callable[[], None]
    ready: Callable[[], bool]
    programs: tuple[str, ...]  # the first one is killed, the others know nothing of their own

    def start(self) -> None:
        """Start, and wait until it answers; on a busy machine Nacos' own database may not wait for itself."""
        processes.wait(self.name, self._begun_and_ready, timeout_s=START_S)

    def _begun_and_ready(self) -> bool:
        if not processes.running(ROOT, self.programs[0]):
            self.begin()
        return self.ready()

    def kill(self, *, forget: bool = False) -> None:
        """As a crash would; `forget` loses its data too."""
        victim = self.programs[0]
        if pid := processes.running(ROOT, victim):
            os.kill(pid, signal.SIGKILL)
        processes.wait("the end", lambda: not processes.running(ROOT, victim))
        if forget:
            shutil.rmtree(self.folder)

    def end(self) -> None:
        """Leave nothing running and nothing behind."""
        self.kill()
        for program in self.programs:
            processes.stop(ROOT, program)
            (ROOT / "run" / f"{program}.pid").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def own_consul() -> Own:
    """A Consul, not started."""
    name, folder = _place("consul")
    http, server, serf = free_ports(3)
    ports = {"http": http, "server": server, "serf_lan": serf, "dns": -1}
    return Own(
        name,
        f"127.0.0.1:{http}",
        f"consul://127.0.0.1:{http}",
        folder,
        lambda: consul.start_on(ROOT, name, ports, folder),
        lambda: consul.ready_on(http),
        (name,),
    )


def own_nacos() -> Own:
    """A Nacos, not started."""
    name, folder = _place("nacos")
    port = nacos_port()
    return Own(
        name,
        f"127.0.0.1:{port}",
        f"nacos://127.0.0.1:{port}?namespace=order-service&group=DEFAULT_GROUP",
        folder,
        lambda: nacos.start_on(ROOT, name, port, folder),
        lambda: nacos.ready_on(port),
        (name,),
    )


def own_mongo() -> Own:
    """A server of MongoDB's protocol, not started."""
    name, folder = _place("mongo")
    (port,) = free_ports(1)
    return Own(
        name,
        f"127.0.0.1:{port}",
        f"mongodb://127.0.0.1:{port}/shop_logs",
        folder,
        lambda: mongo.start_on(ROOT, name, port, folder / "shop.db"),
        lambda: mongo.ready_on(port),
        (name,),
    )


def own_redis() -> Own:
    """A Redis, not started."""
    name, folder = _place("redis")
    (port,) = free_ports(1)
    place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]

    def begin() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        processes.start(ROOT, name, ["redis-server", *place, "--appendonly", "yes"], cwd=folder)

    address = f"127.0.0.1:{port}"
    url = f"redis://{address}/0"
    return Own(name, address, url, folder, begin, lambda: answer(port, "ping") == "PONG", (name,))


def own_rocketmq() -> Own:
    """A cluster of RocketMQ, not started; its proxy with the broker is what is killed."""
    name, folder = _place("rocketmq")
    namesrv, proxy, remoting = free_ports(3)
    ports = rocketmq.Ports(namesrv, proxy, remoting, broker_port())
    return Own(
        name,
        f"127.0.0.1:{ports.proxy}",
        ports.url,
        folder,
        lambda: rocketmq.start_on(ROOT, name, ports, folder),
        lambda: rocketmq.ready_on(ports),
        (f"{name}-proxy", f"{name}-namesrv"),
    )


def nacos_port() -> int:
    """One whose next thousandth is free too, for its gRPC."""
    while True:
        (port,) = free_ports(1)
        if not any(processes.port_is_open(beside) for beside in (port + 1000, port + 1001)):
            return port


def broker_port() -> int:
    """One with free neighbours, on which a broker listens too."""
    while True:
        (port,) = free_ports(1)
        if not any(processes.port_is_open(beside) for beside in (port - 2, port + 1)):
            return port


def _place(kind: str) -> tuple[str, Path]:
    """A name, and a folder that an unprivileged user can enter: pytest's own are not."""
    name = f"{kind}-{uuid.uuid4().hex[:6]}"
    return name, ROOT / "data" / name
