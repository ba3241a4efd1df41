"""The service, the sandbox and the load generator as separate processes on free loopback ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from bench.databases import Database
from shop_sandbox.providers import gateway_settings

START_LIMIT_S = 30.0
STOP_LIMIT_S = 30.0
DRAIN_LIMIT_S = 30.0
SEEDED_GOODS = 1_000


class Failed(Exception):
    """A process failed; the message says where to look."""


def free_ports(count: int) -> list[int]:
    """Unused ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Shop:
    """`with Shop(…) as shop:` runs service and sandbox; `start_s` is the time to its first answer."""

    def __init__(
        self, folder: Path, database: Database, settings: Mapping[str, str], checkout: Path | None = None
    ) -> None:
        """`checkout`: run the code of this folder in place of ours."""
        self.folder = folder
        self.checkout = checkout
        self.answers = folder / "answers.txt"  # the numbers of the answered orders
        self.database = database
        self.settings = settings
        self.grpc_port, self.http_port, self._sandbox_grpc, self._sandbox_http = free_ports(4)
        self.start_s = 0.0
        sandbox = f"http://127.0.0.1:{self._sandbox_http}"
        self._gateways = gateways_of(checkout, sandbox) if checkout else gateway_settings(sandbox)
        self._service: subprocess.Popen[bytes] | None = None
        self._sandbox: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """Settings as in production, except for development keys and limits per user."""
        neighbours = f"127.0.0.1:{self._sandbox_grpc}"
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("SHOP_ORDER_", "SHOP_SANDBOX_"))
        }
        # As in an installation: compiled once, outside the source tree.
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        inherited["PYTHONPYCACHEPREFIX"] = str(self.folder.parent / "compiled")
        return {
            **inherited,
            "SHOP_ORDER_APP__ENV": "test",
            "SHOP_ORDER_DATA_DIR": str(self.folder / "order"),
            "SHOP_ORDER_SERVER__GRPC_PORT": str(self.grpc_port),
            "SHOP_ORDER_SERVER__HTTP_PORT": str(self.http_port),
            **{f"SHOP_ORDER_NEIGHBOURS__{n}": neighbours for n in ("GOODS", "INVENTORY", "USERS", "INBOXES")},
            **{f"SHOP_ORDER_{name}": url for name, url in self._gateways.items()},
            "SHOP_ORDER_LIMIT__USER_RATE": "0",
            "SHOP_ORDER_LIMIT__UNPAID_ORDERS": "0",
            "SHOP_ORDER_LOG__LEVEL": "info",
            "SHOP_ORDER_LOG__STDOUT": "false",
            "SHOP_SANDBOX_GRPC_PORT": str(self._sandbox_grpc),
            "SHOP_SANDBOX_HTTP_PORT": str(self._sandbox_http),
            "SHOP_SANDBOX_DATA_DIR": str(self.folder / "sandbox"),
            "SHOP_SANDBOX_KEYS_DIR": str(self.folder / "order" / "dev"),
            "SHOP_SANDBOX_ORDER": f"127.0.0.1:{self.grpc_port}",
            "SHOP_SANDBOX_SEED_GOODS": str(SEEDED_GOODS),
            **self.database.environ(),
            **{f"SHOP_ORDER_{name}": value for name, value in self.settings.items()},
        }

    @property
    def service_pids(self) -> tuple[int, ...]:
        """The process of the order service."""
        assert self._service is not None
        return (self._service.pid,)

    @property
    def sandbox_pid(self) -> int:
        """The process of the sandbox."""
        assert self._sandbox is not None
        return self._sandbox.pid

    def __enter__(self) -> Self:
        try:
            self._sandbox = self._spawn("shop_sandbox.main", "sandbox")
            wait_for(self._sandbox_http, "/healthz", self._sandbox, self.folder / "sandbox.out")
            self.start_service()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_service()
        stop(self._sandbox)

    def start_service(self) -> None:
        """Start the service and set `start_s`."""
        started = time.perf_counter()
        self._service = self._spawn("shop_order.cmd.main", "service")
        wait_for(self.http_port, "/readyz", self._service, self.folder / "service.out")
        self.start_s = time.perf_counter() - started

    def stop_service(self) -> None:
        """Stop the service gracefully."""
        stop(self._service)
        self._service = None

    def drain(self) -> None:
        """Wait until every event is published. Raises Failed."""
        until = time.monotonic() + DRAIN_LIMIT_S
        while self.outbox():
            if time.monotonic() > until:
                raise Failed("the outbox was not drained in time")
            time.sleep(0.05)

    def outbox(self) -> int:
        """The number of unpublished events."""
        return int(self.database.rows("SELECT count(*) FROM outbox")[0][0])

    def _spawn(self, module: str, name: str) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        environ = {**self.environ, **(code_of(self.checkout) if self.checkout else {})}
        with (self.folder / f"{name}.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, "serve"], env=environ, stdout=output, stderr=output
            )


class Generator:
    """`with Generator(…) as load:` runs the load generator (bench/load.py) as a process."""

    def __init__(self, shop: Shop) -> None:
        address = f"127.0.0.1:{shop.grpc_port}"
        self._command = [sys.executable, "-m", "bench.load", address, str(shop.answers)]
        self._environ = shop.environ

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.read()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        stop(self._process)

    @property
    def pid(self) -> int:
        """The generator's process."""
        return self._process.pid

    def send(self, command: Mapping[str, object]) -> None:
        """Start a run; `read` returns its messages."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """The generator's next message. Raises Failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed("the load generator ended")
        message: dict[str, Any] = json.loads(line)
        return message


def code_of(checkout: Path) -> dict[str, str]:
    """The environment variable with which Python takes the packages from a checkout."""
    return {"PYTHONPATH": str(checkout.resolve() / "src")}


def gateways_of(checkout: Path, sandbox: str) -> dict[str, str]:
    """`gateway_settings` of a checkout, which refuses those of channels that it lacks. Raises Failed."""
    asked = "import json, sys; from shop_sandbox import providers as p"
    asked += "; print(json.dumps([p.__file__, p.gateway_settings(sys.argv[1])]))"
    environ = {**os.environ, **code_of(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", asked, sandbox], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{checkout} does not run:\n{done.stderr[-2000:]}")
    file, settings = json.loads(done.stdout)
    if not Path(file).is_relative_to(checkout.resolve()):
        raise Failed(f"not the code of {checkout}: {file}")
    found: dict[str, str] = settings
    return found


def wait_for(port: int, path: str, process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until the path answers 200. Raises Failed."""
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            with contextlib.closing(connection):
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
        time.sleep(0.01)
    raise Failed(f"{path} does not answer:\n{output.read_text(errors='replace')[-2000:]}")


def stop(process: subprocess.Popen[bytes] | None) -> None:
    """Terminate the process; kill it after STOP_LIMIT_S."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
