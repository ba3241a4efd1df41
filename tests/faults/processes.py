"""The service and the neighbours as processes of their own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx

from tests.recording.recorder import child_path
from tests.shop import Shop

SERVICE, SANDBOX = "service", "sandbox"
START_S = 40.0
GOODS = range(10_001, 10_006)  # the bench catalogue
STOCK = 100_000


class Processes:
    """`shop-order serve` and `shop-sandbox serve` on fixed free ports, over data that outlives them."""

    start_s = START_S

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        shop = Shop(folder, **environ)
        self.token = shop.token
        self.metadata = shop.metadata
        self.grpc_address = shop.grpc_address
        self.neighbours_address = f"127.0.0.1:{shop.ports['sandbox_grpc']}"
        self.url = shop.url
        self.sandbox_url = shop.sandbox_url
        self._ready = {SERVICE: f"{shop.url}/readyz", SANDBOX: f"{shop.sandbox_url}/healthz"}
        self._environ = {
            SERVICE: {"SHOP_ORDER_LOG__FILENAME": str(folder / "service.json"), **shop.environ},
            SANDBOX: {
                "SHOP_SANDBOX_GRPC_PORT": str(shop.ports["sandbox_grpc"]),
                "SHOP_SANDBOX_HTTP_PORT": str(shop.ports["sandbox_http"]),
                "SHOP_SANDBOX_DATA_DIR": str(folder / "sandbox"),
                "SHOP_SANDBOX_KEYS_DIR": str(folder / "order" / "dev"),
                "SHOP_SANDBOX_ORDER": shop.grpc_address,
                "SHOP_SANDBOX_NOTICE_SCALE": "0.002",
                "SHOP_SANDBOX_CHECK_INTERVAL_S": "0.2",
                "SHOP_SANDBOX_SEED_GOODS": str(len(GOODS)),
                "SHOP_SANDBOX_SEED_STOCK": str(STOCK),
            },
        }
        self._words: dict[str, tuple[str, ...]] = {}  # where it is not `serve`
        self._modules = {SERVICE: "shop_order.cmd.main", SANDBOX: "shop_sandbox.main"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, *names: str) -> None:
        """Start these and wait until they serve. Raises AssertionError with what they said."""
        for name in names:
            self._spawn(name)
        await asyncio.gather(*(self._serving(name) for name in names))

    def _spawn(self, name: str) -> None:
        command = self._command(name, *self._words.get(name, ("serve",)))
        with open(self.folder / f"{name}.out", "ab") as out:
            self._running[name] = subprocess.Popen(
                command, env=self._env(name), stdout=out, stderr=out, cwd=self.folder
            )

    async def _serving(self, name: str) -> None:
        end = time.monotonic() + self.start_s
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            while True:
                said = (self.folder / f"{name}.out").read_text()[-2000:]
                assert self._running[name].poll() is None, f"{name} ended: {said}"
                try:
                    if (await http.get(self._ready[name])).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                assert time.monotonic() < end, f"{name} does not serve: {said}"
                await asyncio.sleep(0.03)

    def kill(self, *names: str) -> None:
        """`kill -9`; nothing is flushed, nobody is told."""
        for name in names:
            self._running[name].kill()
        for name in names:
            self._running.pop(name).wait()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The running process, to send it a signal or wait for its end."""
        return self._running[name]

    def said(self, name: str) -> str:
        """All it wrote to standard output and error."""
        return (self.folder / f"{name}.out").read_text()

    def without(self, variable: str) -> None:
        """Leave a setting of the service to its other sources."""
        self._environ[SERVICE].pop(variable)

    async def stop(self, name: str) -> None:
        """As an operator does it: TERM, and it must end well."""
        process = self._running.pop(name)
        process.terminate()
        assert await asyncio.to_thread(process.wait, START_S) == 0, (self.folder / f"{name}.out").read_text()

    def end(self) -> None:
        """Leave nothing running."""
        self.kill(*self._running)

    async def says(self, *words: str) -> tuple[int, str]:
        """Exit code and output of `shop-order …` beside the running service."""
        process = await asyncio.create_subprocess_exec(
            *self._command(SERVICE, *words),
            env=self._env(SERVICE),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What a query finds in the order database."""
        file = (self.folder / "order" / "order.db").resolve()
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return connection.execute(sql).fetchall()

    def _command(self, name: str, *words: str) -> list[str]:
        return [sys.executable, "-m", self._modules[name], *words]

    def _env(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SHOP_")}
        return {**kept, **self._environ[name], "PYTHONPATH": child_path()}
