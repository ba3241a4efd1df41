"""A real nginx on free ports, and instances as processes behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self

import grpc.aio
import httpx

from deploy.nginx.certificate import for_development
from deploy.nginx.render import Gateway, Instance, render, write
from shop_order.api.client.calling import CHANNEL_OPTIONS
from tests.gateway import instance
from tests.shop import free_ports

GET_ORDER = "/order.OrderService/GetOrder"
GOOD_ORIGIN = "https://shop.example.com"
_START_S = 20.0
# Imports once what every instance needs: a dead one is back in a blink.
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([instance.__name__])


class Backend:
    """One process of tests/gateway/instance.py."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = Instance("127.0.0.1", *free_ports(2))
        self._process: ForkServerProcess | None = None

    def start(self) -> None:
        """Start it; `listens` says when it is there."""
        arguments = (self.name, self.at.http_port, self.at.grpc_port)
        self._process = _FORKS.Process(target=instance.run, args=arguments, daemon=True)
        self._process.start()

    @property
    def listens(self) -> bool:
        """Both fronts."""
        return all(_listens(port) for port in (self.at.http_port, self.at.grpc_port))

    @property
    def alive(self) -> bool:
        """Not killed yet."""
        return self._process is not None and self._process.is_alive()

    def pause(self) -> None:
        """It takes connections and says nothing."""
        assert self._process is not None and self._process.pid
        os.kill(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.join()


class Nginx:
    """`with Nginx(folder, instances) as nginx:`; limits are out of the way unless they are the matter."""

    def __init__(self, folder: Path, instances: Iterable[Instance], **settings: Any) -> None:
        self.folder = folder
        self.port, self.plain_port, self.status_port = free_ports(3)
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = for_development(folder)
        self._root = certificate.read_bytes()
        (folder / "temp").mkdir(exist_ok=True)
        wide = dict.fromkeys(("address_rate", "address_burst", "token_rate", "token_burst"), 100000)
        self.gateway = Gateway(
            **{
                "instances": tuple(instances),
                "certificate": str(certificate),
                "key": str(key),
                "listen": (f"127.0.0.1:{self.port}",),
                "listen_plain": (f"127.0.0.1:{self.plain_port}",),
                "https_port": self.port,
                "status": f"127.0.0.1:{self.status_port}",
                "origins": (GOOD_ORIGIN,),
                "user": "root" if os.geteuid() == 0 else "",
                "pid": str(folder / "nginx.pid"),
                "error_log": str(folder / "error.log"),
                "access_log": str(folder / "access.json"),
                "temp": str(folder / "temp"),
                **wide,
                **settings,
            }
        )
        self._conf = folder / "nginx.conf"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Base of REST."""
        return f"https://localhost:{self.port}"

    @property
    def grpc_address(self) -> str:
        """host:port, the same."""
        return f"localhost:{self.port}"

    def __enter__(self) -> Self:
        write(self._conf, render(self.gateway))
        command = [*self._command(), "-g", "daemon off;"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(lambda: _listens(self.port), (self.folder / "error.log").read_text)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def reload(self, **changes: Any) -> set[int]:
        """As an operator does it: render, check, reload; the workers that finish what they have and go."""
        before = self.workers()
        self.gateway = replace(self.gateway, **changes)
        write(self._conf, render(self.gateway))
        for word in (("-t", "-q"), ("-s", "reload")):
            subprocess.run([*self._command(), *word], check=True, capture_output=True)
        until(lambda: bool(self.workers() - before))
        return before

    def workers(self) -> set[int]:
        """Their pids, also of those that only finish what they have."""
        assert self._process is not None
        pid = self._process.pid
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def _command(self) -> list[str]:
        return ["nginx", "-e", str(self.folder / "error.log"), "-c", str(self._conf)]

    # ---- callers ----

    def trust(self) -> ssl.SSLContext:
        """What a client needs to believe the development certificate."""
        return ssl.create_default_context(cadata=self._root.decode())

    def http(self, **more: Any) -> httpx.AsyncClient:
        """A client over TLS."""
        return httpx.AsyncClient(base_url=self.url, verify=self.trust(), timeout=20, trust_env=False, **more)

    def channel(self, *, retries: bool = True) -> grpc.aio.Channel:
        """A gRPC channel over TLS as our own client makes it, or one that repeats nothing at all."""
        credentials = grpc.ssl_channel_credentials(self._root)
        options = CHANNEL_OPTIONS if retries else [("grpc.enable_retries", 0)]
        return grpc.aio.secure_channel(self.grpc_address, credentials, options=options)

    def lines(self) -> list[dict[str, Any]]:
        """The whole log; each line must be JSON."""
        return [json.loads(line) for line in (self.folder / "access.json").read_bytes().splitlines()]

    async def log(self, request_id: str) -> dict[str, Any]:
        """The line of a request; nginx writes it after the answer."""
        for _ in range(200):
            for line in self.lines():
                if line["request_id"] == request_id:
                    return line
            await asyncio.sleep(0.02)
        raise AssertionError(f"no line of {request_id}")


def until(true: Callable[[], bool], said: Callable[[], str] = str) -> None:
    """Wait. Raises AssertionError with what was said meanwhile."""
    end = time.monotonic() + _START_S
    while not true():
        assert time.monotonic() < end, said()
        time.sleep(0.02)


async def call(
    channel: grpc.aio.Channel, method: str = GET_ORDER, body: bytes = b"", /, **metadata: str
) -> dict[str, Any]:
    """A unary call of a tiny instance: what reached it."""
    unary: Any = channel.unary_unary(method)
    pairs = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    found: dict[str, Any] = json.loads(await unary(body, metadata=pairs, timeout=20))
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
