"""Engines of our own, which may be killed."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.stack import consul, nacos, processes
from deploy.stack.__main__ import ROOT
from tests.plugins.engines import available
from tests.shop import free_ports

collect_ignore = [f"test_{name}_gone.py" for name in ("consul", "nacos") if not available(name)]


@dataclass
class Own:
    """One engine in a folder of its own."""

    kind: str
    name: str
    ports: list[int]
    folder: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        port = self.ports[0]
        if self.kind == "consul":
            named = dict(zip(("http", "server", "serf_lan"), self.ports, strict=True))
            consul.start_on(ROOT, self.name, {**named, "dns": -1}, self.folder)
            processes.wait(self.name, lambda: consul.ready_on(port))
        else:
            nacos.start_on(ROOT, self.name, port, self.folder)
            processes.wait(self.name, lambda: nacos.ready_on(port))

    def kill(self, *, forget: bool = False) -> None:
        """As a crash would; `forget` loses its data too."""
        if pid := processes.running(ROOT, self.name):
            os.kill(pid, signal.SIGKILL)
        processes.wait("the end", lambda: not processes.running(ROOT, self.name))
        if forget:
            shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def own_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """A Consul that runs."""
    consul.install(ROOT)
    own = Own("consul", f"consul-{uuid.uuid4().hex[:6]}", free_ports(3), tmp_path_factory.mktemp("consul"))
    own.start()
    yield own
    own.kill()


@pytest.fixture(scope="module")
def own_nacos() -> Iterator[Own]:
    """A Nacos that runs; its unprivileged user can't enter pytest's folders."""
    nacos.install(ROOT)
    name = f"nacos-{uuid.uuid4().hex[:6]}"
    own = Own("nacos", name, [nacos_port()], ROOT / "data" / name)
    own.start()
    yield own
    own.kill()
    shutil.rmtree(own.folder, ignore_errors=True)


def nacos_port() -> int:
    """One whose next thousandth is free too, for its gRPC."""
    for base in range(41_000, 60_000, 37):
        if not any(processes.port_is_open(port) for port in (base, base + 1000, base + 1001)):
            return base
    raise AssertionError("no free ports")
