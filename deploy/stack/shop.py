"""`python -m deploy.stack.shop run|add|remove`: the service on the engines of the stack, behind nginx.

`run` is what `make run-stack` starts. Ports: instance n serves REST on 28100 + n and gRPC on 28200 + n.
"""

from __future__ import annotations

import sys

from shop_sandbox import first, welcome

if __name__ == "__main__":
    # Before the other imports: nothing was started yet that a stop would have to end.
    first.heed(0 if sys.argv[1:2] in ([], ["run"]) else None)

import argparse
import json
import os
import shlex
import signal
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.nginx.render import Instance
from deploy.stack import mariadb, mysql, nginx, processes
from deploy.stack.__main__ import ROOT, engine
from deploy.stack.processes import HOST, RUN, StackError, only_one, run, say, wait

NEEDED = ("redis", "rocketmq", "mongo", "consul", "nacos")
DATABASES = {"mysql": mysql.URLS[0], "mariadb": mariadb.URLS[0]}
HTTP, GRPC = 28100, 28200
SANDBOX_GRPC, SANDBOX_HTTP, RELAY_METRICS = 28161, 28190, 28140
RELAY, SANDBOX, INSTANCE = "shop-relay", "shop-sandbox", "shop-order-"
MOST = 9
INSTANCES = 3
PUBLIC = f"https://{HOST}:{nginx.TLS}"
START_S, STOP_S = 60.0, 40.0
LOOK_EVERY_S = 1.0
DOCUMENT = """\
# What all instances share. It was published by `make run-stack`; change it here, or go back with
# `shop-order config rollback`: it is taken up while they run.
order:
  pay_timeout_s: 1800
limit:
  user_rate: 20
  user_burst: 100
log:
  level: info
"""


@dataclass(frozen=True, slots=True)
class Town:
    """The service, its relay, its neighbours and the gateway, as programs of the stack."""

    root: Path
    database: str

    @property
    def folder(self) -> Path:
        """Keys that all share, and the sandbox's data, which belongs to the orders of one database."""
        return self.root / "shop" / self.database

    @property
    def environ(self) -> dict[str, str]:
        """What an instance, the relay and every command are told; ports come with the instance."""
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
            "PAY__ALIPAY__GATEWAY": f"http://{HOST}:{SANDBOX_HTTP}/alipay/gateway.do",
            "SERVER__PUBLIC_URL": PUBLIC,
            "SERVER__TRUSTED_PROXIES": HOST,
            "LOG__FILENAME": "",
        }
        return {f"SHOP_ORDER_{key}": value for key, value in settings.items()}

    @property
    def broker(self) -> str:
        """Topics of one database, too."""
        url = engine("rocketmq").URLS[0]
        return url if self.database == "mysql" else f"{url}&prefix={self.database}"

    def start(self, count: int) -> None:
        """All of it, in the order in which each needs the one before. Raises StackError."""
        for name in (self.database, *NEEDED, "nginx"):
            engine(name).install(self.root)
            if name != "nginx" and not engine(name).ready(self.root):
                raise StackError(f"{name} is not ready: make stack")
        if self.instances():
            say("stopping what an earlier run left")
            self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._publish_document()
        say("shop-order migrate")
        run([sys.executable, "-m", "shop_order.cmd.main", "migrate"], env=self._whole())
        self._start_sandbox()
        for n in range(1, count + 1):
            self.start_instance(n)
        self._start_relay()
        for n in range(1, count + 1):
            self._wait_for(n)
        self.balance()

    def stop(self) -> None:
        """What serves, then what publishes, then what is asked by both; nginx says 503 by itself."""
        stopping = [
            threading.Thread(target=processes.stop, args=(self.root, name), kwargs={"timeout_s": STOP_S})
            for name in self.instances()
        ]
        for one in stopping:
            one.start()
        for one in stopping:
            one.join()
        say("instances: stopped")
        for name in (RELAY, SANDBOX):
            processes.stop(self.root, name, timeout_s=STOP_S)
            say(f"{name.removeprefix('shop-')}: stopped")

    def instances(self) -> list[str]:
        """The programs that were started as instances and not stopped by us."""
        return sorted(file.stem for file in (self.root / "run").glob(f"{INSTANCE}*.pid"))

    def start_instance(self, n: int) -> None:
        """Start one, unless it runs."""
        ports = {
            "SHOP_ORDER_SERVER__HTTP_PORT": str(HTTP + n),
            "SHOP_ORDER_SERVER__GRPC_PORT": str(GRPC + n),
        }
        command = [sys.executable, "-m", "shop_order.cmd.main", "serve"]
        processes.start(self.root, f"{INSTANCE}{n}", command, env=self._whole(ports))

    def _wait_for(self, n: int) -> None:
        """Until an instance is ready; one that still misses something may be called, and says what it is."""
        name = f"{INSTANCE}{n}"
        end = time.monotonic() + START_S
        while (word := ready_word(n)) != "ready" and time.monotonic() < end:
            if not processes.running(self.root, name):
                raise StackError(f"instance {n} did not start: {processes.said_last(self.root, name)}")
            time.sleep(0.2)
        if word not in ("ready", "degraded"):
            raise StackError(f"instance {n} was not ready within {START_S:.0f} s")
        say(f"instance {n}: {word}")

    def balance(self) -> None:
        """Let nginx know the instances there are; calls that are being answered notice nothing."""
        nginx.start(self.root)
        wait("nginx", lambda: nginx.ready(self.root))
        numbers = [int(name.removeprefix(INSTANCE)) for name in self.instances()]
        nginx.serve(self.root, [Instance(HOST, HTTP + n, GRPC + n) for n in numbers])

    def add(self) -> int:
        """One instance more; its number. Raises StackError, also where none runs."""
        self._require_some()
        n = next(n for n in range(1, MOST + 2) if f"{INSTANCE}{n}" not in self.instances())
        if n > MOST:
            raise StackError(f"there are {MOST} instances already")
        self.start_instance(n)
        self._wait_for(n)
        self.balance()
        return n

    def remove(self) -> int:
        """One instance less: nginx forgets it, then it leaves Consul and ends what it began.

        Raises StackError for the last one.
        """
        self._require_some()
        names = self.instances()
        if len(names) < 2:
            raise StackError("the last instance stays: Ctrl-C stops the whole")
        n = int(names[-1].removeprefix(INSTANCE))
        nginx.serve(self.root, [Instance(HOST, HTTP + m, GRPC + m) for m in map(_number, names[:-1])])
        processes.stop(self.root, names[-1], timeout_s=STOP_S)
        return n

    def _require_some(self) -> None:
        if not self.instances():
            raise StackError(f"nothing runs in {self.root}: make run-stack")

    def mend(self, down: set[str]) -> set[str]:
        """Start again what ended by itself and was found so twice; what is down now for the first time."""
        dead = {name for name in (*self.instances(), RELAY, SANDBOX) if self._died(name)}
        for name in sorted(dead & down):
            say(f"{name.removeprefix('shop-')} ended by itself (log: {self.root / 'log' / name}.log): again")
            if name == RELAY:
                self._start_relay()
            elif name == SANDBOX:
                self._start_sandbox()
            else:
                self.start_instance(_number(name))
        return dead - down

    def _died(self, name: str) -> bool:
        return (self.root / "run" / f"{name}.pid").exists() and not processes.running(self.root, name)

    def _start_relay(self) -> None:
        metrics = {"SHOP_ORDER_MESSAGE__RELAY_PORT": str(RELAY_METRICS)}
        command = [sys.executable, "-m", "shop_order.cmd.main", "relay"]
        processes.start(self.root, RELAY, command, env=self._whole(metrics))

    def _start_sandbox(self) -> None:
        every = ",".join(f"{HOST}:{GRPC + n}" for n in range(1, MOST + 1))
        settings = {
            "HOST": HOST,
            "GRPC_PORT": str(SANDBOX_GRPC),
            "HTTP_PORT": str(SANDBOX_HTTP),
            "DATA_DIR": str(self.folder / "sandbox"),
            "KEYS_DIR": str(self.folder / "dev"),
            "ORDER": f"ipv4:{every}",  # gRPC tries them one after the other
            "MESSAGE": self.broker,
            "CONSUL": urlsplit(engine("consul").URLS[0]).netloc,
            "CA_FILE": str(nginx.certificate(self.root)),
        }
        environ = {f"SHOP_SANDBOX_{key}": value for key, value in settings.items()}
        command = [sys.executable, "-m", "shop_sandbox.main", "serve"]
        processes.start(self.root, SANDBOX, command, env=self._whole(environ))
        wait("the sandbox", lambda: answers(f"http://{HOST}:{SANDBOX_HTTP}/shop"))
        say("sandbox: ready")

    def _publish_document(self) -> None:
        """The first time only: what an operator changed since stays."""
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

    def _whole(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What somebody set in the environment wins over our choices, but for the ports."""
        return {
            **{key: value for key, value in self.environ.items() if key not in os.environ},
            **(more or {}),
        }


def ready_word(n: int) -> str:
    """What /readyz of an instance says: ready, degraded; empty if it answers 503 or nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{HTTP + n}/readyz", timeout=2) as answer:
            return str(json.load(answer)["status"])
    except OSError:
        return ""


def answers(url: str) -> bool:
    """Whether a page is there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def greeting(town: Town, count: int) -> str:
    """Where everything is, tokens, and first calls that work when pasted."""
    from shop_order.cmd.cli.token import mint
    from shop_order.configs import load

    settings = load({**os.environ, **town.environ}).settings
    buyer, admin = mint(settings, user=7), mint(settings, user=1, role="admin")
    ca = str(nginx.certificate(town.root))
    (town.folder / "env").write_text(
        "".join(f"export {key}={shlex.quote(value)}\n" for key, value in town.environ.items())
    )
    instances = "\n".join(
        f"  instance {n}      REST http://{HOST}:{HTTP + n}   gRPC {HOST}:{GRPC + n}"
        for n in range(1, count + 1)
    )
    target = f"{HOST}:{nginx.TLS}"
    where = f"SHOP_STACK={town.root} " if "SHOP_STACK" in os.environ else ""
    return f"""
The Shop runs on {town.database}, Redis, RocketMQ, MongoDB's protocol, Consul and Nacos        Ctrl-C stops it

  gateway         {PUBLIC}/api/v1   gRPC over TLS on the same port   (trust {ca})
  documents       {PUBLIC}/api/v1/docs
{instances}
  relay           metrics http://{HOST}:{RELAY_METRICS}/metrics
  goods           http://{HOST}:{SANDBOX_HTTP}/shop
  Alipay          http://{HOST}:{SANDBOX_HTTP}/alipay/sim
  Consul          http://{urlsplit(engine("consul").URLS[0]).netloc}/ui
  logs            {town.root / "log"}

one instance more, one less:   {where}{welcome.python()} -m deploy.stack.shop add | remove
commands of the service:       . {town.folder / "env"}
                               .venv/bin/shop-order doctor | stats show | config history | token --user 8

tokens, valid for a day (buyer 7, admin 1)
  BUYER_7={buyer}
  ADMIN={admin}

a first curl: place an order

{welcome.curl(PUBLIC, buyer, ca)}

a first gRPC call: another order

{welcome.grpc_call(target, buyer, ca)}

the same with grpcurl, if you have it

{welcome.grpcurl(target, buyer, ca)}

"""


def _number(name: str) -> int:
    return int(name.removeprefix(INSTANCE))


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="deploy.stack.shop", description=__doc__)
    parser.add_argument("command", nargs="?", default="run", choices=("run", "add", "remove"))
    parser.add_argument("--instances", type=int, default=INSTANCES, choices=range(1, MOST + 1))
    parser.add_argument("--database", default=os.environ.get("DB", "mysql"), choices=DATABASES)
    chosen = parser.parse_args()
    town = Town(ROOT, chosen.database)
    try:
        if chosen.command == "run":
            return _run(town, chosen.instances)
        n = town.add() if chosen.command == "add" else town.remove()
        say(f"instance {n}: {'added' if chosen.command == 'add' else 'removed'}")
        return 0
    except StackError as failed:
        say(str(failed))
        return 1
    except KeyboardInterrupt:  # between two steps, with nothing started
        return 0 if chosen.command == "run" else 1


def _run(town: Town, count: int) -> int:
    """Until INT or TERM. Raises StackError."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell lets what it starts behind itself ignore INT
        signal.signal(number, signal.default_int_handler)
    with only_one(RUN, wait=False):
        try:
            town.start(count)
            sys.stdout.write(greeting(town, count))
            sys.stdout.flush()
            down: set[str] = set()
            while True:
                time.sleep(LOOK_EVERY_S)
                down = town.mend(down)
        except KeyboardInterrupt:
            pass
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            say("stopping: what was accepted is finished first")
            town.stop()
            say("the engines and nginx run on; make stack-down stops them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
