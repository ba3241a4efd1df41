"""A temporary Shop for the story: free ports, a temporary folder, a process stopped at the end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from shop_sandbox.providers import gateway_settings

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 60.0


class NotStarted(Exception):
    """The Shop did not come up; the text is the end of what it output."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code and output of a command."""

    code: int
    output: str


class Stage:
    """The addresses of the running Shop, and its commands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        grpc_port, http_port, sandbox_grpc, sandbox_http = _free_ports(4)
        self.rest = f"http://127.0.0.1:{http_port}"
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.sandbox = f"http://127.0.0.1:{sandbox_http}"
        foreign = ("SHOP_ORDER_", "SHOP_SANDBOX_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environ = kept | {
            "SHOP_ORDER_DATA_DIR": str(folder / "data"),
            "SHOP_ORDER_SERVER__GRPC_PORT": str(grpc_port),
            "SHOP_ORDER_SERVER__HTTP_PORT": str(http_port),
            "SHOP_ORDER_ORDER__SCAN_INTERVAL_S": "0.2",
            **{f"SHOP_ORDER_{name}": url for name, url in gateway_settings(self.sandbox).items()},
            **{
                f"SHOP_ORDER_NEIGHBOURS__{name}": f"127.0.0.1:{sandbox_grpc}"
                for name in ("GOODS", "INVENTORY", "USERS", "INBOXES")
            },
            "SHOP_SANDBOX_GRPC_PORT": str(sandbox_grpc),
            "SHOP_SANDBOX_HTTP_PORT": str(sandbox_http),
            "SHOP_SANDBOX_NOTICE_SCALE": "0.002",
            "PYTHONUTF8": "1",
        }
        self._output = folder / "output.txt"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the Shop and wait until it is ready. Raises NotStarted."""
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "shop_sandbox.main",
                "demo",
                env=self.environ,
                cwd=self._folder,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + START_TIMEOUT_S
        async with httpx.AsyncClient(trust_env=False) as http:
            while not await _is_ready(http, f"{self.rest}/readyz"):
                if self._process.returncode is not None or time.monotonic() > end:
                    raise NotStarted(self._output.read_text("utf-8", "replace")[-2000:].strip())
                await asyncio.sleep(0.1)

    async def stop(self) -> int:
        """Terminate the Shop and return its exit code; kill it after 30 s."""
        process = self._process
        if process is None:
            return 0
        self._process = None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    async def run(self, *arguments: str) -> CommandResult:
        """Run a command of the product, such as `doctor`, beside the running Shop."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shop_order.cmd.main",
            *arguments,
            env=self.environ,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            out, err = await process.communicate()
        return CommandResult(process.returncode or 0, (out.strip() or err.strip()).decode("utf-8", "replace"))


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="shop-story-", ignore_cleanup_errors=True) as name:
        yield Path(name)


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False


def _free_ports(count: int) -> list[int]:
    """Unused ports below the range of outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 30_000)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
