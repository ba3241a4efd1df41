"""The service's instances, relay and sandbox as programs of the stack, with nginx in front."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.nginx.render import Instance
from deploy.stack import mariadb, mysql, nginx, processes
from deploy.stack.__main__ import engine
from deploy.stack.processes import HOST, StackError, run, say, wait
from shop_sandbox.providers import gateway_settings

NEEDED = ("redis", "rocketmq", "mongo", "consul", "nacos")
DATABASES = {"mysql": mysql.URLS[0], "mariadb": mariadb.URLS[0]}
HTTP, GRPC = 28100, 28200
SANDBOX_GRPC, SANDBOX_HTTP, RELAY_METRICS = 28161, 28190, 28140
RELAY, SANDBOX, INSTANCE = "shop-relay", "shop-sandbox", "shop-order-"
MAX_INSTANCES = 9
PUBLIC = f"https://{HOST}:{nginx.TLS}"
START_TIMEOUT_S, STOP_TIMEOUT_S = 60.0, 40.0
DOCUMENT = """\
# The settings that all instances share, published by `make run-stack`. Change them here, or go back with
# `shop-order config rollback`: running instances apply them.
order:
  pay_timeout_s: 1800
limit:
  user_rate: 20
  user_burst: 100
log:
  level: info
"""


@dataclass(frozen=True, slots=True)
class StackShop:
    """The instances, the relay, the sandbox and the gateway, as programs of the stack."""

    root: Path
    database: str

    @property
    def folder(self) -> Path:
        """The folder of shared keys and of the sandbox's data, one for each database."""
        return self.root / "shop" / self.database

    @property
    def environ(self) -> dict[str, str]:
        """The settings of instances, relay and commands, without an instance's ports."""
        url = {name: engine(name).URLS[0] for name in NEEDED}
        settings = {
            "DATA_DIR": str(self.folder),
            "DB__URL": DATABASES[self.database],
            "CACHE__URL": f"{url['redis'].rpartition('/')[0]}/{[*DATABASES].index(self.database)}",
            "MESSAGE__URL": self.broker,
            "OPLOG__URL": url["mongo"] if self.database == "mysql" else f"{url['mongo']}_{self.database}",
            "REGISTRY__URL": url["consul"],
            "CONFIG__URL": url["nacos"],
            "NEIGHBOURS__GOODS": "goods-service",
            "NEIGHBOURS__INVENTORY": "inventory-service",
            "NEIGHBOURS__USERS": "user-service",
            "NEIGHBOURS__INBOXES": "event-inbox",
            **gateway_settings(f"http://{HOST}:{SANDBOX_HTTP}"),
            "SERVER__PUBLIC_URL": PUBLIC,
            "SERVER__TRUSTED_PROXIES": HOST,
            "LOG__FILENAME": "",
        }
        return {f"SHOP_ORDER_{key}": value for key, value in settings.items()}

    @property
    def broker(self) -> str:
        """The broker's URL, with topics for each database."""
        url = engine("rocketmq").URLS[0]
        return url if self.database == "mysql" else f"{url}&prefix={self.database}"

    def start(self, count: int) -> None:
        """Start all programs in the order of their dependencies. Raises StackError."""
        for name in (self.database, *NEEDED, "nginx"):
            engine(name).install(self.root)
            if name != "nginx" and not engine(name).ready(self.root):
                raise StackError(f"{name} is not ready: make stack")
        if self.instances():
            say("stopping the programs of an earlier run")
            self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._publish_document()
        say("shop-order migrate")
        run([sys.executable, "-m", "shop_order.cmd.main", "migrate"], env=self._environment())
        self._start_sandbox()
        for n in range(1, count + 1):
            self.start_instance(n)
        self._start_relay()
        for n in range(1, count + 1):
            self._wait_for(n)
        self.update_gateway()

    def stop(self) -> None:
        """Stop instances, then relay, then sandbox; nginx then answers 503."""
        stopping = [
            threading.Thread(
                target=processes.stop, args=(self.root, name), kwargs={"timeout_s": STOP_TIMEOUT_S}
            )
            for name in self.instances()
        ]
        for one in stopping:
            one.start()
        for one in stopping:
            one.join()
        say("instances: stopped")
        for name in (RELAY, SANDBOX):
            processes.stop(self.root, name, timeout_s=STOP_TIMEOUT_S)
            say(f"{name.removeprefix('shop-')}: stopped")

    def instances(self) -> list[str]:
        """The names of instances that were started and not stopped by us."""
        return sorted(file.stem for file in (self.root / "run").glob(f"{INSTANCE}*.pid"))

    def start_instance(self, n: int) -> None:
        """Start instance `n` unless it is running."""
        ports = {
            "SHOP_ORDER_SERVER__HTTP_PORT": str(HTTP + n),
            "SHOP_ORDER_SERVER__GRPC_PORT": str(GRPC + n),
        }
        command = [sys.executable, "-m", "shop_order.cmd.main", "serve"]
        processes.start(self.root, f"{INSTANCE}{n}", command, env=self._environment(ports))

    def _wait_for(self, n: int) -> None:
        """Wait until an instance is ready; after the timeout, `degraded` is accepted."""
        name = f"{INSTANCE}{n}"
        end = time.monotonic() + START_TIMEOUT_S
        while (state := readiness(n)) != "ready" and time.monotonic() < end:
            if not processes.running(self.root, name):
                raise StackError(f"instance {n} did not start: {processes.log_tail(self.root, name)}")
            time.sleep(0.2)
        if state not in ("ready", "degraded"):
            raise StackError(f"instance {n} was not ready within {START_TIMEOUT_S:.0f} s")
        say(f"instance {n}: {state}")

    def update_gateway(self) -> None:
        """Configure nginx with the current instances; running calls are not interrupted."""
        nginx.start(self.root)
        wait("nginx", lambda: nginx.ready(self.root))
        numbers = [int(name.removeprefix(INSTANCE)) for name in self.instances()]
        nginx.set_instances(self.root, [Instance(HOST, HTTP + n, GRPC + n) for n in numbers])

    def add(self) -> int:
        """Add an instance and return its number. Raises StackError, also if none is running."""
        self._require_running()
        n = next(n for n in range(1, MAX_INSTANCES + 2) if f"{INSTANCE}{n}" not in self.instances())
        if n > MAX_INSTANCES:
            raise StackError(f"there are already {MAX_INSTANCES} instances")
        self.start_instance(n)
        self._wait_for(n)
        self.update_gateway()
        return n

    def remove(self) -> int:
        """Remove an instance: from nginx first, then stop it gracefully.

        Raises StackError for the last one.
        """
        self._require_running()
        names = self.instances()
        if len(names) < 2:
            raise StackError("the last instance can't be removed: Ctrl-C stops everything")
        n = int(names[-1].removeprefix(INSTANCE))
        nginx.set_instances(self.root, [Instance(HOST, HTTP + m, GRPC + m) for m in map(_number, names[:-1])])
        processes.stop(self.root, names[-1], timeout_s=STOP_TIMEOUT_S)
        return n

    def _require_running(self) -> None:
        if not self.instances():
            raise StackError(f"nothing runs in {self.root}: make run-stack")

    def restart_dead(self, down: set[str]) -> set[str]:
        """Restart programs already dead at the last call (`down`); returns those newly found dead."""
        dead = {name for name in (*self.instances(), RELAY, SANDBOX) if self._has_died(name)}
        for name in sorted(dead & down):
            say(f"{name.removeprefix('shop-')} exited (log: {self.root / 'log' / name}.log): restarting")
            if name == RELAY:
                self._start_relay()
            elif name == SANDBOX:
                self._start_sandbox()
            else:
                self.start_instance(_number(name))
        return dead - down

    def _has_died(self, name: str) -> bool:
        return (self.root / "run" / f"{name}.pid").exists() and not processes.running(self.root, name)

    def _start_relay(self) -> None:
        metrics = {"SHOP_ORDER_MESSAGE__RELAY_PORT": str(RELAY_METRICS)}
        command = [sys.executable, "-m", "shop_order.cmd.main", "relay"]
        processes.start(self.root, RELAY, command, env=self._environment(metrics))

    def _start_sandbox(self) -> None:
        every = ",".join(f"{HOST}:{GRPC + n}" for n in range(1, MAX_INSTANCES + 1))
        settings = {
            "HOST": HOST,
            "GRPC_PORT": str(SANDBOX_GRPC),
            "HTTP_PORT": str(SANDBOX_HTTP),
            "DATA_DIR": str(self.folder / "sandbox"),
            "KEYS_DIR": str(self.folder / "dev"),
            "ORDER": f"ipv4:{every}",  # gRPC tries them in turn
            "MESSAGE": self.broker,
            "CONSUL": urlsplit(engine("consul").URLS[0]).netloc,
            "CA_FILE": str(nginx.certificate(self.root)),
        }
        environ = {f"SHOP_SANDBOX_{key}": value for key, value in settings.items()}
        command = [sys.executable, "-m", "shop_sandbox.main", "serve"]
        processes.start(self.root, SANDBOX, command, env=self._environment(environ))
        wait("the sandbox", lambda: answers(f"http://{HOST}:{SANDBOX_HTTP}/shop"))
        say("sandbox: ready")

    def _publish_document(self) -> None:
        """Publish the settings if there are none yet; an operator's changes stay."""
        from shop_order.configs.sources import SourceUnavailable
        from shop_order.configs.sources.nacos import NacosSource

        source = NacosSource(engine("nacos").URLS[0])

        def there() -> bool:
            try:
                return bool(source.documents("dev"))
            except SourceUnavailable:
                return False

        if not there():
            source.publish(DOCUMENT)
            wait("the document in Nacos", there)

    def _environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Our settings; the environment's own win, except for `more`."""
        return {
            **{key: value for key, value in self.environ.items() if key not in os.environ},
            **(more or {}),
        }


def readiness(n: int) -> str:
    """The status in an instance's /readyz: ready or degraded; empty if it is not ready or unreachable."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{HTTP + n}/readyz", timeout=2) as answer:
            return str(json.load(answer)["status"])
    except OSError:
        return ""


def answers(url: str) -> bool:
    """Whether a page answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def _number(name: str) -> int:
    return int(name.removeprefix(INSTANCE))
